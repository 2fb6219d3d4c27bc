/** Small files that share data files, over the restarts of an agent. */
import { expect, test } from "vitest";
import type { Ino } from "../../../../src/base/ids.ts";
import type { Random } from "../../../../src/base/random.ts";
import { SMALL_FILE_BYTES, SWEEP_MS } from "../../../../src/base/limits.ts";
import { DataFiles } from "../../../../src/overlay/data/data-files.ts";
import { dataReaderOf } from "../../../../src/overlay/data/data-reader.ts";
import { smallName } from "../../../../src/overlay/data/data-file-names.ts";
import { entryBytes, writeEntryHeader } from "../../../../src/overlay/data/small-pieces.ts";
import { SimulatedDisk } from "../../../../src/simulate/disks/simulated-disk.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

const OPEN_FILES = 16;
const EPOCH = 1;
const PIECE = 16 * 1024;
const GROWN = "N".repeat(100_000);
/** A power cut that tears each unsynced write, and undoes each unsynced change of names. */
const TEARING: Random = { bytes: (length) => new Uint8Array(length), fraction: () => 0.55 };
const [X, Y] = [10 as Ino, 11 as Ino];

test("small files survive a kill even if every earlier file in the shared data file outgrew it", async () => {
  const fs = await VfsHarness.create();
  const grown = await fs.make("grown", "first words");
  await fs.write(grown, SMALL_FILE_BYTES, "grew");
  await fs.make("small", "small");
  fs.vfs.persist();
  fs.restart();
  await fs.vfs.sync();
  fs.restart();
  expect(await fs.text("small")).toBe("small");
  expect(await fs.text("grown")).toMatch(/^first words\0+grew$/);
});

/** Files that outgrow the shared data files, as programs with a small buffer write them. */
async function makeGrown(fs: VfsHarness, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const ino = await fs.make(`f${index}`);
    for (let at = 0; at < 96 * 1024; at += PIECE) await fs.write(ino, at, Buffer.alloc(PIECE, index));
    fs.vfs.persist();
  }
}

test.each([16, 17, 40])(
  "a start after a kill finds %i files that all outgrew their shared data file",
  async (count) => {
    const fs = await VfsHarness.create();
    await makeGrown(fs, count);
    fs.restart();
    for (let index = 0; index < count; index++)
      expect(new Set(await fs.read(await fs.ino(`f${index}`)))).toEqual(new Set([index]));
    await fs.vfs.sync();
  },
);

test("a shared data file that nothing needs is removed soon, also while nothing is published", async () => {
  const fs = await VfsHarness.create();
  await makeGrown(fs, 40);
  await fs.advance(SWEEP_MS);
  const names = [...fs.disk.filesIn("data")].map(([name]) => name);
  // The last one gets the next small file.
  expect(names.filter((name) => name.startsWith("small.")).length).toBe(1);
  expect(names.length).toBe(41);
});

test("bytes replaced before a restart stay replaced when their file outgrows the shared ones", async () => {
  const disk = new SimulatedDisk();
  const before = new DataFiles(disk, OPEN_FILES);
  before.write(Y, EPOCH, 0, Buffer.from("keeps the first shared file"));
  before.write(X, EPOCH, 0, Buffer.from("OLD"));
  const data = new DataFiles(disk, OPEN_FILES);
  data.write(X, EPOCH, 0, Buffer.alloc(1000, "n"));
  data.write(X, EPOCH, 0, Buffer.from(GROWN));
  data.sealed();
  await data.removeDiscarded(async () => {});
  expect(await stored(disk, X, GROWN.length)).toEqual([GROWN, GROWN]);
  expect(await stored(disk, Y, "keeps the first shared file".length)).toEqual([
    "keeps the first shared file",
    "keeps the first shared file",
  ]);
});

test("a file's entries are all in one shared file, so that one mark covers them when it moves", () => {
  const disk = new SimulatedDisk();
  new DataFiles(disk, OPEN_FILES).write(X, EPOCH, 0, Buffer.from("first"));
  const data = new DataFiles(disk, OPEN_FILES);
  data.write(Y, EPOCH, 0, Buffer.from("in the second shared file"));
  data.write(X, EPOCH, 5, Buffer.from(" and more"));
  expect(disk.list("data").toSorted()).toEqual([`${X}.${EPOCH}`, smallName(EPOCH, 0), smallName(EPOCH, 1)]);
  const read = Buffer.alloc(14);
  data.read(X, EPOCH, 0, read);
  expect(read.toString()).toBe("first and more");
});

test("a start completes the marks of a file that an older version kept in several shared files", async () => {
  const disk = new SimulatedDisk();
  const entry = (ino: Ino, text: string | undefined) => {
    const bytes = Buffer.alloc(entryBytes(text?.length ?? 0));
    writeEntryHeader(bytes, ino, 0, text?.length);
    bytes.write(text ?? "", entryBytes(0));
    return bytes;
  };
  const store = (name: string, bytes: Buffer) => disk.openFile("data", name, true)?.write(0, bytes);
  store(smallName(EPOCH, 0), Buffer.concat([entry(Y, "stays"), entry(X, "OLD")]));
  store(smallName(EPOCH, 1), Buffer.concat([entry(X, "newer"), entry(X, undefined)]));
  store(`${X}.${EPOCH}`, Buffer.from("newest"));
  const data = new DataFiles(disk, OPEN_FILES);
  await data.removeDiscarded(async () => {});
  expect(disk.list("data").toSorted()).toEqual([`${X}.${EPOCH}`, smallName(EPOCH, 0)]);
  expect(await stored(disk, X, "newest".length)).toEqual(["newest", "newest"]);
  expect(await stored(disk, Y, "stays".length)).toEqual(["stays", "stays"]);
});

test("an fsync makes the removal of a shared file durable if the mark of a file that moved out was not", async () => {
  const disk = new SimulatedDisk();
  const before = new DataFiles(disk, OPEN_FILES);
  before.write(X, EPOCH, 0, Buffer.from("OLD"));
  await before.sync(X);
  const data = new DataFiles(disk, OPEN_FILES);
  data.write(X, EPOCH, 0, Buffer.from(GROWN));
  data.write(Y, EPOCH, 0, Buffer.from("synced together with the folder"));
  await data.sync(Y);
  await data.removeDiscarded(async () => {});
  await data.sync(X);
  expect(await stored(disk.afterPowerLoss(TEARING), X, GROWN.length)).toEqual([GROWN, GROWN]);
});

test.each([
  ["at once", false],
  ["that was killed before its checkpoint", true],
])("what a start puts back from the journal is durable after its checkpoint, with a start %s", async (_, isKilled) => {
  for (let chance = 0; chance < 20; chance++) {
    let disk = new SimulatedDisk();
    const before = new DataFiles(disk, OPEN_FILES);
    before.write(X, EPOCH, 0, Buffer.from("1"));
    await before.sync(X);
    // The journal has two bytes: too many for the entry that is there, so the file moves out.
    const carried = Buffer.from("22");
    if (isKilled) new DataFiles(disk, OPEN_FILES).restore(X, EPOCH, 0, carried);
    if (isKilled) disk = disk.afterKill();
    const data = new DataFiles(disk, OPEN_FILES);
    data.restore(X, EPOCH, 0, carried);
    await data.syncForCheckpoint();
    expect(await stored(disk.afterPowerLoss(seededRandom(chance)), X, 2)).toEqual(["22", "22"]);
  }
});

/** What the publisher and a new process find. */
async function stored(disk: SimulatedDisk, ino: Ino, length: number): Promise<string[]> {
  const published = await dataReaderOf(disk).readData(ino, EPOCH, 0, length);
  const found = Buffer.alloc(length);
  new DataFiles(disk, OPEN_FILES).read(ino, EPOCH, 0, found);
  return [published, found].map((bytes) => Buffer.from(bytes).toString());
}
