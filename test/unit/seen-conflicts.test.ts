/** Conflicts of a synced folder stay in the status. */
import { hostname } from "node:os";
import { expect, test } from "vitest";
import { SeenConflicts } from "../../src/agent/seen-conflicts.ts";
import { syncStatus } from "../../src/agent/sync-status.ts";
import type { WriterId } from "../../src/base/ids.ts";
import { nameFromText } from "../../src/base/names.ts";
import type { Conflict } from "../../src/bucket/merge/conflict.ts";
import { ManualClock } from "../support/manual-clock.ts";

const [OWN, OTHER] = ["own", "other"] as unknown as WriterId[] as [WriterId, WriterId];
const conflict = (name: string, writer: WriterId) =>
  ({ names: { kept: [nameFromText(name)], other: [] }, writer }) as unknown as Conflict;

test("a conflict of a folder's round stays in the status when later rounds have none, with machine and time", () => {
  const seen = new SeenConflicts(new ManualClock());
  seen.remember([conflict("a", OWN), conflict("b", OTHER)]);
  seen.remember([]);
  const facts = {
    folder: "/f",
    address: "file:///b",
    cache: () => ({ bytes: 0, limit: 1 }),
    conflicts: () => seen.report(OWN),
  };
  const state = { report: undefined, error: undefined, scansOnly: undefined, waiting: false };
  const time = expect.stringMatching(/^2023-11-14T22:13:20/) as string;
  expect(syncStatus(facts, state).conflicts).toEqual([
    { path: "a", machine: hostname(), time },
    { path: "b", machine: "other", time },
  ]);
});

test("of very many conflicts the newest thousand are remembered", () => {
  const seen = new SeenConflicts(new ManualClock());
  for (let count = 0; count < 1_002; count++) seen.remember([conflict(`${count}`, OTHER)]);
  expect(seen.report(OWN).map(({ path }) => path)).toEqual(Array.from({ length: 1_000 }, (_, index) => `${index + 2}`));
});
