/** What commands tell of deletions that wait for approval. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { AgentStatus, FlushReport } from "../../../../src/agent/reports.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { joinedReport } from "../../../../src/agent/folder/agent-with-folder.ts";
import { allowCommand, leftText } from "../../../../src/cli/commands/held-deletions.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { servedState } from "../../../support/served-state.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { folderFacts } from "../../../support/folder-facts.ts";

const HELD = { digest: "d1", files: 101, where: "bucket" as const };
const MOUNT = { door: "mount", mount: "/m1" } as const;
const WEB = { door: "webdav", url: "http://127.0.0.1:8888/", fingerprint: null } as const;

test("the command that approves deletions names one door, quoted for the shell", () => {
  const command = (folder: string) => allowCommand([MOUNT, WEB, { door: "sync", folder }], HELD);
  expect(command("/f1")).toBe("syncline flush /f1 --allow-deletes d1");
  expect(command("/my work")).toBe("syncline flush '/my work' --allow-deletes d1");
  expect(command("/it's")).toBe("syncline flush '/it'\\''s' --allow-deletes d1");
  expect(allowCommand([WEB], HELD)).toBe("syncline flush http://127.0.0.1:8888/ --allow-deletes d1");
});

test("flush and status say how many deletions await approval, and which command approves them", async () => {
  const folder = await temporaryFolder();
  const [states, mount] = [join(folder, "states"), join(folder, "mount")];
  const facts = folderFacts({ folder: "/f1" });
  const quiet = syncStatus(facts, { report: undefined, error: undefined, scansOnly: undefined, waiting: false });
  const status: AgentStatus = { ...quiet, doors: [MOUNT, { door: "sync", folder: "/f1" }], guard: HELD };
  const { pending } = status;
  const report: FlushReport = {
    published: false,
    root: "root",
    version: 1,
    attempts: 1,
    conflicts: 0,
    pending,
    error: null,
  };
  const answers = { status: async () => status, flush: async () => report };
  await servedState(states, { address: "file:///b", mount }, answers);
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({});
    const ended = await runCommandLine([...args, "--state", states], runtime, await commandsFor(args), "1.2.3");
    return { ended, out: runtime.out(), told: runtime.out() + runtime.err() };
  };
  const flushed = await run("flush", mount);
  expect(flushed.ended).toBe(7);
  expect(flushed.told).toContain("101 files would be deleted from the bucket");
  expect(flushed.told).toContain("syncline flush /f1 --allow-deletes d1");
  expect(flushed.told).not.toContain("unreachable");
  expect(JSON.parse((await run("flush", mount, "--json")).out)).toMatchObject({ published: false, guard: HELD });
  expect((await run("status", mount)).told).toContain("syncline flush /f1 --allow-deletes d1");
});

const NONE = { files: 0, bytes: 0, oldestMs: 0, etaMs: null };
const DRAINED = { drained: true, pending: NONE, error: null };

test("the final report names the held deletions and how to approve them", () => {
  const folder = { folder: "/f1", files: 0, bytes: 0, error: null };
  const report = joinedReport(DRAINED, { ...DRAINED, drained: false, guard: HELD, folder });
  expect(report).toMatchObject({ drained: false, guard: HELD });
  const told = leftText(report, "kept");
  expect(told).toMatch(/101 files would be deleted from the bucket.*syncline flush \/f1 --allow-deletes d1/);
  expect(told).not.toContain("0 files");
});

test("if only the folder cannot be written, the final report names the folder, not the mount's state", () => {
  const error = { code: "disk_full", message: "No space is left.", hint: null } as const;
  const last = {
    ...DRAINED,
    drained: false,
    pending: { ...NONE, files: 1, isUncounted: true },
    error,
    folder: { folder: "/f1", files: 1, bytes: 0, error },
  };
  const told = leftText(joinedReport(DRAINED, last), "kept in the state");
  expect(told).toContain("/f1");
  expect(told).toContain("No space is left.");
  expect(told).not.toContain("kept in the state");
});

test("the final report says how much is only in the folder, and how much only in the mount's state", () => {
  const error = { code: "store_unreachable", message: "It is away.", hint: null } as const;
  const own = { drained: false, pending: { ...NONE, files: 12, bytes: 40 }, error };
  const folder = { folder: "/f1", files: 1, bytes: 2048, error };
  const last = { ...DRAINED, drained: false, pending: { ...NONE, files: 1, bytes: 2048 }, error, folder };
  const told = leftText(joinedReport(own, last), "kept in the state");
  expect(told).toContain("12 files, 40 B are only on this machine: It is away.\nkept in the state");
  expect(told).toContain("1 file, 2.00 KiB is only in the folder /f1: It is away.");
});

test("the final report says what the mount leaves unpublished and where it is kept", () => {
  const error = { code: "store_unreachable", message: "It is away.", hint: null } as const;
  const own = { drained: false, pending: { ...NONE, files: 2 }, error };
  expect(leftText(joinedReport(own, DRAINED), "kept in the state")).toMatch(/2 files.*away[^]*kept in the state/);
  const last = { ...DRAINED, drained: false, guard: HELD, folder: { folder: "/f1", files: 0, bytes: 0, error: null } };
  expect(leftText(joinedReport(own, last), "kept in the state")).toMatch(
    /2 files.*away[^]*kept in the state[^]*101 files/,
  );
});
