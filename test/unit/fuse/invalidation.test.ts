/** What the kernel is told after a change of everything. */
import { expect, test } from "vitest";
import { type FileName, type Ino, ROOT_INO } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { nameFromText } from "../../../src/base/names.ts";
import type { Session } from "../../../src/fuse/addon.ts";
import { Invalidator } from "../../../src/fuse/invalidation.ts";
import { OpenFiles } from "../../../src/fuse/open-files.ts";
import { OpenTable } from "../../../src/fuse/open-table.ts";
import { FOPEN, MINOR_WITH_EPOCH } from "../../../src/fuse/protocol.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const EVERYTHING = { entries: [], inodes: [], all: true };

function world(minor: number, unlistedNames: readonly FileName[] = []) {
  const clock = new ManualClock();
  const told: unknown[] = [];
  const session = {
    invalidateInode: (ino: Ino) => void told.push(ino),
    invalidateEntry: (parent: Ino, name: FileName) => void told.push(`${name} of ${parent}`),
    incrementEpoch: () => void told.push("epoch"),
  };
  const known = [2, 3, 4] as Ino[];
  const fs = { unlistedNames, knownInodes: () => known, list: () => ({ entries: [], next: undefined }) };
  const openFiles = new OpenFiles(new OpenTable());
  let opens = 0;
  const options = { clock, log: silentLog, used: async () => undefined };
  const [ofKernel, files] = [session as unknown as Session, fs as unknown as FileSystem];
  const invalidator = new Invalidator(ofKernel, openFiles, files, options);
  invalidator.minor = minor;
  const keeps = (ino: number) => (openFiles.open(++opens, ino as Ino, "read").flags & FOPEN.KEEP_CACHE) !== 0;
  return { invalidator, told, clock, keeps };
}

test("pages are kept at an open again once all old ones are dropped, and nothing is remembered of files", async () => {
  const { invalidator, told, clock, keeps } = world(MINOR_WITH_EPOCH);
  invalidator.invalidate(EVERYTHING);
  expect([keeps(2), keeps(2), keeps(5)]).toEqual([false, true, false]);
  await clock.advance(1_000);
  expect(told).toEqual([ROOT_INO, "epoch", 3, 4]);
  expect([keeps(3), keeps(6)]).toEqual([true, true]);
});

test("names that no listing shows are dropped, too, if the kernel knows no epochs", async () => {
  const { invalidator, told, clock } = world(MINOR_WITH_EPOCH - 1, [nameFromText(".history")]);
  invalidator.invalidate(EVERYTHING);
  await clock.advance(1_000);
  expect(told).toContain(`.history of ${ROOT_INO}`);
});
