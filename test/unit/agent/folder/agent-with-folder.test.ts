/** An agent that keeps a folder the same beside its other doors answers for all of them. */
import { expect, test } from "vitest";
import { flushBoth, withFolder } from "../../../../src/agent/folder/agent-with-folder.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import type { AgentStatus, FlushReport } from "../../../../src/agent/reports.ts";
import { folderFacts } from "../../../support/folder-facts.ts";

const DONE: FlushReport = {
  published: true,
  root: "first",
  version: 1,
  attempts: 1,
  conflicts: 0,
  pending: { files: 0, bytes: 0, oldestMs: 0, etaMs: null },
  error: null,
};
const FAILED: FlushReport = {
  ...DONE,
  published: false,
  error: { code: "store_unreachable", message: "It is away.", hint: null },
};

/** Flushes, where the folder and the other doors come to these; in which order they were asked, and what is answered. */
async function flushed(passes: FlushReport[], own: FlushReport) {
  const asked: string[] = [];
  const folder = {
    flush: async (allow?: string) => {
      asked.push(`folder ${allow ?? ""}`.trim());
      return passes.shift() ?? FAILED;
    },
  };
  const mount = {
    flush: async () => {
      asked.push("mount");
      return own;
    },
  };
  return { answer: await flushBoth(mount, folder, "digest"), asked };
}

test("a flush also brings what the mount published into the folder", async () => {
  const passes = [
    { ...DONE, conflicts: 1 },
    { ...DONE, root: "second", conflicts: 2 },
  ];
  const { answer, asked } = await flushed(passes, { ...DONE, root: "second" });
  expect(asked).toEqual(["folder digest", "mount", "folder"]);
  expect(answer).toMatchObject({ published: true, root: "second", conflicts: 3 });
});

test("a flush that cannot bring what the mount published into the folder is not done", async () => {
  const { answer } = await flushed([DONE, FAILED], { ...DONE, root: "second" });
  expect(answer).toMatchObject({ published: false, error: { code: "store_unreachable" } });
});

test.each([
  ["that is already at the root", DONE],
  ["whose pass failed", FAILED],
])("a folder %s gets no second pass", async (_, first) => {
  expect((await flushed([first], DONE)).asked).toEqual(["folder digest", "mount"]);
});

test("the status counts the folder's requests, too", () => {
  const status = (requests: AgentStatus["requests"]) => {
    const facts = folderFacts({ address: "s3://b", requests: () => requests });
    return syncStatus(facts, { report: undefined, error: undefined, scansOnly: undefined, waiting: false });
  };
  const mount = status({ put: 1, list: 2, get: 3, delete: 4, refused: 5, forMs: 7_000 });
  const folder = status({ put: 10, list: 20, get: 30, delete: 40, refused: 50, forMs: 6_000 });
  const both = { put: 11, list: 22, get: 33, delete: 44, refused: 55, forMs: 7_000 };
  expect(withFolder(mount, folder).requests).toEqual(both);
  expect(withFolder(mount, status(null)).requests).toEqual(mount.requests);
  expect(withFolder(status(null), status(null)).requests).toBe(null);
});
