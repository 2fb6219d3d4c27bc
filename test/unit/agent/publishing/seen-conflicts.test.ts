/** Conflicts of a synced folder stay in the status. */
import { expect, test } from "vitest";
import { SeenConflicts } from "../../../../src/agent/publishing/seen-conflicts.ts";
import { conflictReport } from "../../../../src/agent/reports.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import type { WriterId } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import type { Bucket } from "../../../../src/bucket/bucket.ts";
import type { Conflict } from "../../../../src/fstree/merge/conflict.ts";
import { type BucketWriter, openWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter } from "../../../support/test-bucket.ts";
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

test("a conflict is remembered while its copy is there, also in a directory that was moved", async () => {
  const bucket = await createBucket(new MemoryRemote());
  const context = await newWriter(bucket, 2);
  const seen = new SeenConflicts(new ManualClock());
  let epoch = 0;
  const edited = async (edit: (writer: BucketWriter) => Promise<unknown>) => {
    await using writer = await openWriter(context, ++epoch);
    await edit(writer);
    await writer.publish("edit");
    await seen.settle(bucket, (await bucket.head()).commit.cid);
    return seen.all.length;
  };
  const copy = nameFromText("x (conflict 01234567)");
  const [old, moved] = [nameFromText("old"), nameFromText("moved")];
  const attributes = { mode: 0o644, uid: 0, gid: 0 };
  await edited((writer) => writer.putFile([old, copy], sourceOfBytes(Buffer.from("copy")), attributes));
  const names = { kept: [old, nameFromText("x")], other: [old, copy] };
  await seen.remember([{ kind: "copy", names, writer: OTHER } as unknown as Conflict], bucket);
  expect(await edited((writer) => writer.makeDirectory([nameFromText("d")], attributes))).toBe(1);
  expect(await edited((writer) => writer.move([old], [moved]))).toBe(1);
  expect(await edited((writer) => writer.remove([moved, copy]))).toBe(0);
});
