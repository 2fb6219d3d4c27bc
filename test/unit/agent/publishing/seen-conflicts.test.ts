/** Conflicts of a synced folder stay in the status. */
import { expect, test } from "vitest";
import { SeenConflicts } from "../../../../src/agent/publishing/seen-conflicts.ts";
import { conflictReport } from "../../../../src/agent/reports.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import type { WriterId } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import type { Bucket } from "../../../../src/bucket/bucket.ts";
import type { Conflict } from "../../../../src/fstree/merge/conflict.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const [NAMED, OTHER] = ["named", "other"] as unknown as WriterId[] as [WriterId, WriterId];
const conflict = (name: string, writer: WriterId) =>
  ({ names: { kept: [nameFromText(name)], other: [] }, writer }) as unknown as Conflict;
/** One commit, by a writer that names its machine. */
const head = { body: { writer: NAMED, machine: "laptop", parent: undefined } };
const bucket = { head: async () => ({ commit: head }) } as unknown as Bucket;

test("a conflict of a sync pass stays in the status after passes without conflicts, with machine and time", async () => {
  const seen = new SeenConflicts(new ManualClock());
  await seen.remember([conflict("a", NAMED), conflict("b", OTHER)], bucket);
  await seen.remember([], bucket);
  const facts = {
    folder: "/f",
    address: "file:///b",
    cache: () => ({ bytes: 0, limit: 1 }),
    paused: () => null,
    requests: () => null,
    masters: () => null,
    conflicts: () => seen.all.map(conflictReport),
  };
  const state = { report: undefined, error: undefined, scansOnly: undefined, waiting: false };
  const time = expect.stringMatching(/^2023-11-14T22:13:20/) as string;
  expect(syncStatus(facts, state).conflicts).toEqual([
    { path: "a", machine: "laptop", time },
    { path: "b", machine: "other", time },
  ]);
});

test("only the newest thousand conflicts are remembered", async () => {
  const seen = new SeenConflicts(new ManualClock());
  for (let count = 0; count < 1_002; count++) await seen.remember([conflict(`${count}`, OTHER)], bucket);
  expect(seen.all.map(conflictReport).map(({ path }) => path)).toEqual(
    Array.from({ length: 1_000 }, (_, index) => `${index + 2}`),
  );
});
