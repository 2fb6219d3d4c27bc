/** The block cache on disk, and what may happen to its files. */
import { execFileSync } from "node:child_process";
import { mkdir, open, readdir, readlink, rm, stat, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { CACHE_BACKLOG_BYTES } from "../../../src/base/limits.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Block, SizedBlock } from "../../../src/blocks/block-store.ts";
import { SqliteCacheIndex } from "../../../src/blocks/cache-index.ts";
import { CacheFolder, type CacheStorage } from "../../../src/blocks/cache-storage.ts";
import { DiskBlockCache } from "../../../src/blocks/disk-block-cache.ts";
import { cachingRemote } from "../../../src/bucket/caching-remote.ts";
import type { BucketRemote, UploadSession } from "../../../src/bucket/remote.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { failure, rawBlock } from "../../contract/block-store.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const MiB = 1 << 20;
/** Small disks are mounted. */
const IS_ROOT = process.getuid?.() === 0;
const opened: DiskBlockCache[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((cache) => cache.close()));
});

test("blocks survive closing and reopening the cache", async () => {
  const dir = join(await temporaryFolder(), "cache");
  const blocks = numbered(20, 50_000);
  const first = openCache(dir);
  await keep(first, blocks);
  await first.close();
  expect(await heldCount(openCache(dir), blocks)).toBe(20);
});

test("blocks survive an agent that is killed before it closes the cache", async () => {
  const dir = await temporaryFolder();
  const blocks = numbered(20, 5_000);
  await keep(openCache(dir), blocks);
  expect(await heldCount(openCache(dir), blocks)).toBe(20);
});

test("a segment that left the index, and whose file stayed after a kill, is removed at the next start", async () => {
  const dir = await temporaryFolder();
  const [lost, kept] = [openCache(dir), openCache(dir)];
  const blocks = numbered(20, 5_000);
  await keep(lost, numbered(25, 5_000).slice(20));
  await keep(kept, blocks);
  const index = new SqliteCacheIndex(dir);
  index.dropSegment(index.leastRecent()?.id ?? 0);
  index.close();
  const files = async () => (await readdir(dir)).filter((name) => name.endsWith(".blocks"));
  expect(await files()).toHaveLength(2);
  expect(await heldCount(openCache(dir), blocks)).toBe(20);
  expect(await files()).toHaveLength(1);
});

test("blocks kept one by one in quick succession are written together, at the latest on close", async () => {
  const dir = await temporaryFolder();
  const clock = new ManualClock();
  const writes: number[] = [];
  const storage = folderWhere(dir, (parts, write) => {
    writes.push(parts.length);
    return write();
  });
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock, storage });
  const [blocks, later] = [numbered(20, 5_000), numbered(30, 5_000).slice(20)];
  for (const block of [...blocks, ...blocks]) cache.keep([block]);
  await clock.advance(1);
  expect(writes).toEqual([]);
  await clock.advance(1_000);
  await cache.settled();
  expect(writes).toEqual([20]);
  for (const block of later) cache.keep([block]);
  await cache.close();
  expect(writes).toEqual([20, 10]);
  expect(await heldCount(openCache(dir), [...blocks, ...later])).toBe(30);
});

test("blocks can be read as soon as they are kept, before and after they are written", async () => {
  const dir = await temporaryFolder();
  const clock = new ManualClock();
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock });
  const blocks = numbered(20, 5_000);
  cache.keep(blocks);
  expect(await cache.held(blocks.map(({ cid }) => cid))).toEqual(new Map(blocks.map(({ cid, bytes }) => [cid, bytes])));
  await clock.advance(1_000);
  await cache.settled();
  expect(await heldCount(cache, blocks)).toBe(20);
  await cache.close();
  expect(await heldCount(openCache(dir), blocks)).toBe(20);
});

test("reading, copying or keeping many blocks takes one index transaction; a single look-up takes none", async () => {
  const dir = await temporaryFolder();
  const readings: number[] = [];
  let isReading = false;
  const storage = new CacheFolder(dir);
  const openIndex = () => {
    const index = CacheFolder.prototype.openIndex.call(storage);
    const { find, reading } = index;
    return Object.assign(index, {
      find(digest: Uint8Array) {
        if (isReading) readings.push((readings.pop() ?? 0) + 1);
        else readings.push(-1);
        return find.call(index, digest);
      },
      reading<Result>(work: () => Result): Result {
        readings.push(0);
        isReading = true;
        try {
          return reading.call(index, work) as Result;
        } finally {
          isReading = false;
        }
      },
    });
  };
  const options = { dir, bytes: 64 * MiB, log: collectingLog(), storage: Object.assign(storage, { openIndex }) };
  const cache = new DiskBlockCache(options);
  opened.push(cache);
  const blocks = numbered(20, 5_000);
  await keep(cache, blocks);
  expect(readings.splice(0)).toEqual([20]);
  expect(await heldCount(cache, blocks)).toBe(20);
  expect(readings.splice(0)).toEqual([20]);
  const sized = blocks.map(({ cid, bytes }) => ({ cid, length: bytes.length }));
  expect(await cache.readInto(sized, new Uint8Array(20 * 5_000))).toBe(20 * 5_000);
  expect(readings.splice(0)).toEqual([20]);
  expect(await heldCount(cache, blocks.slice(7, 8))).toBe(1);
  expect(readings).toEqual([-1]);
});

test("blocks are read one after another into the caller's memory, up to the first missing one", async () => {
  const cache = openCache(await temporaryFolder());
  const blocks = numbered(12, 5_000);
  const [missing, ...kept] = blocks.toReversed();
  // Not as they lie.
  const wanted = [...kept.slice(6), ...kept.slice(0, 6)];
  await keep(cache, kept);
  const target = Buffer.alloc(12 * 5_000 + 10, 7);
  expect(await cache.readInto(sized([...wanted, missing ?? rawBlock(1)]), target)).toBe(11 * 5_000);
  expect(target.subarray(0, 11 * 5_000).equals(Buffer.concat(wanted.map(({ bytes }) => bytes)))).toBe(true);
  expect(target.subarray(12 * 5_000).equals(Buffer.alloc(10, 7))).toBe(true);
  expect(await cache.readInto(sized([missing ?? rawBlock(1), ...wanted]), target)).toBe(0);
  expect(await cache.readInto([{ ...sized(wanted)[0], length: 4_999 } as SizedBlock], target)).toBe(0);
});

test("reading into the caller's memory stops at a damaged block, which is dropped", async () => {
  const dir = await temporaryFolder();
  const cache = openCache(dir);
  const blocks = numbered(10, 5_000);
  await keep(cache, blocks);
  await flipBit(dir, 17_000);
  const target = Buffer.alloc(50_000);
  expect(await cache.readInto(sized(blocks), target)).toBe(15_000);
  expect(target.subarray(0, 15_000).equals(Buffer.concat(blocks.slice(0, 3).map(({ bytes }) => bytes)))).toBe(true);
  expect(await heldCount(cache, blocks)).toBe(9);
  expect(await cache.readInto(sized(blocks.slice(4)), target)).toBe(30_000);
  const [file = ""] = await segmentFiles(dir);
  await truncate(file, 32_000);
  expect(await cache.readInto(sized(blocks.slice(4)), target)).toBe(10_000);
  await rm(dir, { recursive: true });
  expect(await cache.readInto(sized(blocks.slice(4)), target)).toBeOneOf([0, 10_000]);
});

test("a large backlog is written without waiting", async () => {
  const dir = await temporaryFolder();
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock: new ManualClock() });
  opened.push(cache);
  const blocks = numbered(24, 100_000);
  for (const block of blocks.slice(0, 20)) cache.keep([block]);
  await expect.poll(() => heldCount(cache, blocks), { timeout: 60_000 }).toBeGreaterThan(8);
});

test("an upload that is faster than the disk waits for room in the backlog, and all of it is cached", async () => {
  const gate = Promise.withResolvers<void>();
  const dir = await temporaryFolder();
  const storage = folderWhere(dir, (_parts, write) => gate.promise.then(write));
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock: new ManualClock(), storage });
  opened.push(cache);
  const blocks = numbered(40, MiB);
  const upload = beginUpload(cache, blocks);
  await expect.poll(() => upload.taken, { timeout: 60_000 }).toBe(CACHE_BACKLOG_BYTES / MiB);
  // Who keeps what was read waits for nothing: it is dropped.
  const read = rawBlock(MiB, 99);
  cache.keep([read]);
  gate.resolve();
  await upload.done;
  await cache.settled();
  expect(await heldCount(cache, blocks)).toBe(40);
  expect(await heldCount(cache, [read])).toBe(0);
});

test("an upload does not wait for a failing disk", async () => {
  const dir = await temporaryFolder();
  const storage = folderWhere(dir, () => Promise.reject(new Error("EIO")));
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock: new ManualClock(), storage });
  opened.push(cache);
  await expect(beginUpload(cache, numbered(40, MiB)).done).resolves.toBeUndefined();
});

test("an upload does not wait for a full disk, nor for a cache with less room than a block", async () => {
  const dir = await temporaryFolder();
  const full = { ...folderWhere(dir, (_parts, write) => write()), spare: () => 0 };
  const options = { dir, log: collectingLog(), clock: new ManualClock() };
  const caches = [
    new DiskBlockCache({ ...options, bytes: 64 * MiB, storage: full }),
    new DiskBlockCache({ ...options, bytes: MiB / 2 }),
  ];
  opened.push(...caches);
  for (const cache of caches) await expect(beginUpload(cache, numbered(40, MiB)).done).resolves.toBeUndefined();
});

test("an upload stops waiting for a disk that hangs, and is cached again once the disk answers", async () => {
  const clock = new ManualClock();
  const gate = Promise.withResolvers<void>();
  const dir = await temporaryFolder();
  const storage = folderWhere(dir, (_parts, write) => gate.promise.then(write));
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock, storage });
  opened.push(cache);
  const blocks = numbered(40, MiB);
  const upload = beginUpload(cache, blocks);
  await expect.poll(() => upload.taken, { timeout: 60_000 }).toBe(CACHE_BACKLOG_BYTES / MiB);
  await clock.advance(60_000);
  await upload.done;
  gate.resolve();
  await cache.settled();
  await beginUpload(cache, blocks).done;
  await cache.settled();
  expect(await heldCount(cache, blocks)).toBe(40);
});

test("closing the cache releases a waiting upload", async () => {
  const gate = Promise.withResolvers<void>();
  const dir = await temporaryFolder();
  const storage = folderWhere(dir, (_parts, write) => gate.promise.then(write));
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock: new ManualClock(), storage });
  const upload = beginUpload(cache, numbered(40, MiB));
  await expect.poll(() => upload.taken, { timeout: 60_000 }).toBe(CACHE_BACKLOG_BYTES / MiB);
  const closed = cache.close();
  await upload.done;
  gate.resolve();
  await closed;
});

test("two caches of one folder see each other's blocks and do not interfere", async () => {
  const dir = await temporaryFolder();
  const [one, other] = [openCache(dir), openCache(dir)];
  const blocks = numbered(200, 10_000);
  blocks.forEach((block, index) => (index % 2 === 0 ? one : other).keep([block]));
  await Promise.all([one.settled(), other.settled()]);
  expect(await heldCount(one, blocks)).toBe(200);
  expect(await heldCount(other, blocks)).toBe(200);
});

test.skipIf(process.platform !== "linux")(
  "a segment removed by another cache of the folder does not stay open",
  async () => {
    const dir = await temporaryFolder();
    const clock = new ManualClock();
    const reader = new DiskBlockCache({ dir, bytes: 2 * MiB, log: collectingLog(), clock });
    opened.push(reader);
    const other = openCache(dir, 2 * MiB);
    const blocks = numbered(100, 100_000);
    await keep(other, blocks.slice(0, 10));
    expect(await heldCount(reader, blocks.slice(0, 10))).toBe(10);
    for (let from = 10; from < blocks.length; from += 10) await keep(other, blocks.slice(from, from + 10));
    expect(await deletedOpenBelow(dir)).not.toEqual([]);
    await clock.advance(10_000);
    await vi.waitFor(async () => expect(await deletedOpenBelow(dir)).toEqual([]), 10_000);
  },
);

test.skipIf(process.platform !== "linux")(
  "a cache closes its own segment after another cache removed it, and keeps later blocks",
  async () => {
    const dir = await temporaryFolder();
    const clock = new ManualClock();
    const writer = new DiskBlockCache({ dir, bytes: 2 * MiB, log: collectingLog(), clock });
    opened.push(writer);
    const blocks = numbered(102, 100_000);
    await keepLater(writer, clock, blocks.slice(0, 1));
    const other = openCache(dir, 2 * MiB);
    for (let from = 2; from < blocks.length; from += 10) await keep(other, blocks.slice(from, from + 10));
    expect(await heldCount(writer, blocks.slice(0, 1))).toBe(0);
    await clock.advance(10_000);
    await vi.waitFor(async () => expect(await deletedOpenBelow(dir)).toEqual([]), 10_000);
    await keepLater(writer, clock, blocks.slice(1, 2));
    expect(await heldCount(other, blocks.slice(1, 2))).toBe(1);
  },
);

test("blocks that arrive now and then share one segment", async () => {
  const dir = await temporaryFolder();
  const clock = new ManualClock();
  const cache = new DiskBlockCache({ dir, bytes: 64 * MiB, log: collectingLog(), clock });
  opened.push(cache);
  const blocks = numbered(10, 10_000);
  for (const block of blocks) {
    await keepLater(cache, clock, [block]);
    await clock.advance(60_000);
  }
  expect(await segmentFiles(dir)).toHaveLength(1);
  expect(await heldCount(cache, blocks)).toBe(10);
});

test("the cache stays within its limit, and recently read blocks outlive others", async () => {
  const dir = await temporaryFolder();
  const cache = openCache(dir, 4 * MiB);
  const [hot, ...others] = numbered(400, 64 * 1024);
  const first = hot ?? rawBlock(1);
  await keep(cache, [first]);
  for (const block of others) {
    await keep(cache, [block]);
    expect(cache.bytes).toBeLessThanOrEqual(4 * MiB);
    await cache.held([first.cid]);
  }
  expect(await folderBytes(dir, ".blocks")).toBeLessThanOrEqual(4 * MiB);
  expect(await heldCount(cache, [first])).toBe(1);
  // A segment leaves or stays as a whole: the first three others lie in one with the block that is read.
  expect(await heldCount(cache, others.slice(3, 100))).toBe(0);
  expect(await heldCount(cache, others.slice(-32))).toBe(32);
});

test("two caches of one folder together stay within its limit", async () => {
  const dir = await temporaryFolder();
  const caches = [openCache(dir, 2 * MiB), openCache(dir, 2 * MiB)];
  for (const [index, block] of numbered(200, 30_000).entries()) {
    caches[index % 2]?.keep([block]);
    if (index % 10 === 0) await Promise.all(caches.map((cache) => cache.settled()));
  }
  await Promise.all(caches.map((cache) => cache.settled()));
  expect(caches[0]?.bytes).toBeLessThanOrEqual(2 * MiB + 60_000);
  expect(await folderBytes(dir, ".blocks")).toBeLessThanOrEqual(2 * MiB + 60_000);
});

test("a flipped bit in a segment is a miss; the block is dropped and can be kept again", async () => {
  const dir = await temporaryFolder();
  const cache = openCache(dir);
  const [damaged, ...others] = numbered(5, 1_000);
  const block = damaged ?? rawBlock(1);
  await keep(cache, [block, ...others]);
  await flipBit(dir, 500);
  expect(await heldCount(cache, [block])).toBe(0);
  expect(await heldCount(cache, others)).toBe(4);
  await keep(cache, [block]);
  expect(await heldCount(cache, [block])).toBe(1);
});

test("no damaged block is ever served, whatever happens to the segment files", async () => {
  const blocks = numbered(12, 3_000);
  const damage = fc.record({
    kind: fc.constantFrom("flip", "cut", "remove", "zeros"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (damages) => {
      const dir = await temporaryFolder();
      const cache = openCache(dir);
      await keep(cache, blocks);
      for (const { kind, at } of damages) await harm(dir, kind, at);
      for (const [cid, bytes] of await cache.held(blocks.map((block) => block.cid))) {
        expect(cidOf("raw", bytes)).toBe(cid);
      }
      await keep(cache, blocks);
      await cache.held(blocks.map((block) => block.cid));
      await keep(cache, blocks);
      expect(await heldCount(cache, blocks)).toBe(12);
      await cache.close();
    }),
    { numRuns: 40 },
  );
});

test("a cache that is deleted while running continues as an empty one", async () => {
  const dir = join(await temporaryFolder(), "cache");
  const [one, other] = [openCache(dir), openCache(dir)];
  const blocks = numbered(10, 10_000);
  await keep(one, blocks);
  await keep(other, numbered(12, 10_000));
  await rm(dir, { recursive: true });
  const later = numbered(40, 10_000).slice(20);
  await keep(one, later);
  await keep(other, later);
  expect(await heldCount(one, later)).toBe(20);
  expect(await heldCount(other, later)).toBe(20);
  expect(await heldCount(openCache(dir), later)).toBe(20);
  expect(await heldCount(openCache(dir), blocks)).toBe(0);
});

test("an unreadable index is replaced by an empty one", async () => {
  const dir = await temporaryFolder();
  const blocks = numbered(10, 1_000);
  const first = openCache(dir);
  await keep(first, blocks);
  await first.close();
  await writeFile(join(dir, "index.sqlite"), "this is no database, whatever its name says".repeat(100));
  const log = collectingLog();
  const cache = openCache(dir, 64 * MiB, log);
  expect(await heldCount(cache, blocks)).toBe(0);
  await keep(cache, blocks);
  expect(await heldCount(cache, blocks)).toBe(10);
  expect(await folderBytes(dir, ".blocks")).toBe(10_000);
  expect(log.warnings).toHaveLength(1);
});

test("a folder that cannot be created is reported once and causes no failures", async () => {
  const file = join(await temporaryFolder(), "file");
  await writeFile(file, "");
  const log = collectingLog();
  const cache = openCache(join(file, "cache"), 64 * MiB, log);
  const blocks = numbered(3, 100);
  for (const block of blocks) await keep(cache, [block]);
  expect(await heldCount(cache, blocks)).toBe(0);
  expect(cache.bytes).toBe(0);
  expect(log.warnings).toHaveLength(1);
});

test.skipIf(!IS_ROOT)("a full disk is reported once, and the cache resumes once there is room", async () => {
  await onSmallDisk("size=64m,nr_inodes=32", async (disk) => {
    const log = collectingLog();
    const cache = openCache(join(disk, "cache"), 32 * MiB, log);
    const blocks = numbered(5, 5_000);
    const ballast = await filesUntilFull(disk);
    for (const block of blocks) await keep(cache, [block]);
    expect(await heldCount(cache, blocks)).toBe(0);
    expect(log.warnings.filter((line) => line.includes("ENOSPC"))).toHaveLength(1);
    expect(log.warnings).toHaveLength(1);
    await Promise.all(ballast.map((path) => rm(path)));
    await keep(cache, blocks);
    expect(await heldCount(cache, blocks)).toBe(5);
    await cache.close();
  });
});

test.skipIf(!IS_ROOT)("the cache shrinks when the disk fills up, and never takes the last free space", async () => {
  await onSmallDisk("size=16m", async (disk) => {
    const log = collectingLog();
    const cache = openCache(join(disk, "cache"), 64 * MiB, log);
    const blocks = numbered(400, 50_000);
    for (const block of blocks) await keep(cache, [block]);
    expect(cache.bytes).toBeGreaterThan(4 * MiB);
    expect(await freeBytes(disk)).toBeGreaterThanOrEqual(3 * MiB);
    await writeFile(join(disk, "others"), new Uint8Array(3 * MiB));
    cache.trim();
    await cache.settled();
    expect(await freeBytes(disk)).toBeGreaterThanOrEqual(3 * MiB);
    expect(await heldCount(cache, blocks.slice(-20))).toBe(20);
    expect(log.warnings).toEqual([]);
    await cache.close();
  });
});

/** Puts the blocks one after the other into an upload session whose bucket takes everything at once. */
function beginUpload(
  cache: DiskBlockCache,
  blocks: readonly Block[],
): { readonly taken: number; readonly done: Promise<void> } {
  const session = { putContent: () => Promise.resolve() } as Partial<UploadSession>;
  const remote = { beginUpload: () => session } as Partial<BucketRemote>;
  const caching = cachingRemote(remote as BucketRemote, cache).beginUpload();
  const upload = { taken: 0, done: Promise.resolve() };
  const put = async () => {
    for (const block of blocks) {
      await caching.putContent(block);
      upload.taken++;
    }
  };
  upload.done = put();
  return upload;
}

/** The folder, where writing goes through `write`. */
function folderWhere(
  dir: string,
  write: (parts: readonly Uint8Array[], inner: () => Promise<void>) => Promise<void>,
): CacheStorage {
  const inner = new CacheFolder(dir);
  return {
    openIndex: () => inner.openIndex(),
    removeIndex: () => inner.removeIndex(),
    create: async (name) => {
      const file = await inner.create(name);
      return { write: (offset, parts) => write(parts, () => file.write(offset, parts)), close: () => file.close() };
    },
    read: (name, offset, target) => inner.read(name, offset, target),
    forget: (name) => inner.forget(name),
    remove: (name) => inner.remove(name),
    taken: (name) => inner.taken(name),
    freeRanges: (name, ranges) => inner.freeRanges(name, ranges),
    spare: () => inner.spare(),
    close: () => inner.close(),
  };
}

/** A tmpfs of its own, unmounted in the end. */
async function onSmallDisk(options: string, action: (disk: string) => Promise<void>): Promise<void> {
  const disk = join(await temporaryFolder(), "disk");
  await mkdir(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", disk]);
  try {
    await action(disk);
  } finally {
    execFileSync("umount", ["-l", disk]);
  }
}

async function filesUntilFull(dir: string): Promise<string[]> {
  const made: string[] = [];
  for (;;) {
    const path = join(dir, `ballast-${made.length}`);
    const error = await failure(writeFile(path, ""));
    if (error !== undefined) return made;
    made.push(path);
  }
}

async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

function openCache(dir: string, bytes = 64 * MiB, log: Log = collectingLog()): DiskBlockCache {
  const cache = new DiskBlockCache({ dir, bytes, log });
  opened.push(cache);
  return cache;
}

function collectingLog(): Log & { readonly warnings: string[] } {
  const warnings: string[] = [];
  const warn = (message: string, fields?: object) => void warnings.push(`${message} ${JSON.stringify(fields)}`);
  return { warnings, info: () => {}, warn, error: warn };
}

function numbered(count: number, bytes: number): Block[] {
  return Array.from({ length: count }, (_, index) => rawBlock(bytes, index + 1));
}

async function keep(cache: DiskBlockCache, blocks: readonly Block[]): Promise<void> {
  cache.keep(blocks);
  await cache.settled();
}

/** As `keep`, for a cache that waits for more blocks to write with these. */
async function keepLater(cache: DiskBlockCache, clock: ManualClock, blocks: readonly Block[]): Promise<void> {
  cache.keep(blocks);
  await clock.advance(1_000);
  await cache.settled();
}

function sized(blocks: readonly Block[]): SizedBlock[] {
  return blocks.map(({ cid, bytes }) => ({ cid, length: bytes.length }));
}

async function heldCount(cache: DiskBlockCache, blocks: readonly Block[]): Promise<number> {
  return (await cache.held(blocks.map(({ cid }) => cid))).size;
}

async function segmentFiles(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith(".blocks")).map((name) => join(dir, name));
}

async function folderBytes(dir: string, ending: string): Promise<number> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(ending));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(dir, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function flipBit(dir: string, offset: number): Promise<void> {
  const [path = ""] = await segmentFiles(dir);
  const file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  await file.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, offset);
  await file.close();
}

async function harm(dir: string, kind: string, at: number): Promise<void> {
  const [path] = await segmentFiles(dir);
  if (path === undefined) return;
  const { size } = await stat(path);
  const offset = Math.floor(at * Math.max(0, size - 1));
  if (kind === "flip" && size > 0) await flipBit(dir, offset);
  else if (kind === "cut") await truncate(path, offset);
  else if (kind === "remove") await rm(path);
  else if (kind === "zeros") {
    await truncate(path, offset);
    await truncate(path, size);
  }
}

/** Files of the folder that this process has open and that are deleted (proc(5)). */
async function deletedOpenBelow(dir: string): Promise<string[]> {
  const numbers = await readdir("/proc/self/fd");
  const targets = await Promise.all(numbers.map((number) => readlink(`/proc/self/fd/${number}`).catch(() => "")));
  return targets.filter((target) => target.startsWith(dir) && target.endsWith(" (deleted)"));
}
