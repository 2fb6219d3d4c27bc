/** Parts of cached blocks that are read without reading, and verifying, the whole block. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { CacheFolder, type CacheStorage } from "../../../src/blocks/cache-storage.ts";
import { DiskBlockCache } from "../../../src/blocks/disk-block-cache.ts";
import { rawBlock } from "../../contract/block-store.ts";
import { whyNoAddon } from "../../support/fuse-process.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const BYTES = 50_000;
const LIMIT = 64 << 20;
const isThere = whyNoAddon() === undefined;

function openCache(dir: string, clock = new ManualClock(), storage?: CacheStorage, bytes = LIMIT): DiskBlockCache {
  const cache = new DiskBlockCache({ dir, bytes, log: silentLog, clock, ...(storage && { storage }) });
  onTestFinished(() => cache.close());
  return cache;
}

async function keep(cache: DiskBlockCache, blocks: readonly Block[]): Promise<void> {
  cache.keep(blocks);
  await cache.settled();
}

/** Whether a part can be read; it must then be right. */
function reads(cache: DiskBlockCache, { cid, bytes }: Block, offset = 1_000, length = 4_096): boolean {
  const target = Buffer.alloc(length);
  const isRead = cache.readPart({ cid, length: bytes.length }, offset, target);
  expect(!isRead || target.equals(bytes.subarray(offset, offset + length))).toBe(true);
  return isRead;
}

/** A file is open only after its first read. */
async function held(cache: DiskBlockCache, ...blocks: Block[]): Promise<void> {
  expect((await cache.held(blocks.map(({ cid }) => cid))).size).toBe(blocks.length);
}

test.runIf(isThere)("parts are read of a block that was verified, and of one that waits to be written", async () => {
  const dir = await temporaryFolder();
  const [cache, other] = [openCache(dir), openCache(dir)];
  const block = rawBlock(BYTES, 1);
  cache.keep([block]);
  expect([cache.isAtHand(block.cid), reads(cache, block)]).toEqual([true, true]);
  await cache.settled();
  expect([cache.isAtHand(block.cid), reads(cache, block)]).toEqual([true, false]);
  await held(cache, block);
  expect(reads(cache, block)).toBe(true);
  expect([other.isAtHand(block.cid), reads(other, block)]).toEqual([false, false]);
  await held(other, block);
  expect([other.isAtHand(block.cid), reads(other, block)]).toEqual([true, true]);
  expect(reads(other, { ...block, bytes: Buffer.alloc(BYTES + 1) })).toBe(false);
  expect(reads(other, rawBlock(BYTES, 2))).toBe(false);
});

test.runIf(isThere)("parts are read of blocks that another thread has just written", async () => {
  const dir = await temporaryFolder();
  const [writing, serving] = [openCache(dir), openCache(dir)];
  writing.onWritten((blocks) => serving.believe(blocks));
  const [opening, block, small] = [rawBlock(BYTES, 1), rawBlock(BYTES, 2), rawBlock(10_000, 3)];
  await keep(writing, [opening, block, small]);
  await held(serving, opening);
  expect([opening, block, small].map((each) => reads(serving, each))).toEqual([true, true, false]);
});

test.runIf(isThere)("after ten minutes a block is verified again, which notices damage", async () => {
  const dir = await temporaryFolder();
  const clock = new ManualClock();
  const cache = openCache(dir, clock);
  const block = rawBlock(BYTES, 1);
  await keep(cache, [block]);
  await held(cache, block);
  await clock.advance(599_000);
  // Files that were not used are closed meanwhile.
  await vi.waitFor(() => expect(reads(cache, block)).toBe(true));
  const segment = (await readdir(dir)).find((name) => name.endsWith(".blocks")) ?? "";
  const file = await open(join(dir, segment), "r+");
  await file.write(Buffer.alloc(1), 0, 1, 1_000);
  await file.close();
  await clock.advance(1_000);
  expect([cache.isAtHand(block.cid), reads(cache, block)]).toEqual([false, false]);
  expect((await cache.held([block.cid])).size).toBe(0);
});

test("for a second after a part was not in memory, blocks are read whole and ahead", async () => {
  const dir = await temporaryFolder();
  const clock = new ManualClock();
  let isInMemory = false;
  const storage = new CacheFolder(dir);
  const readNow = (_: string, __: number, target: Uint8Array) => (isInMemory ? target.length : 10);
  const cache = openCache(dir, clock, Object.assign(storage, { readNow }));
  const block = rawBlock(BYTES, 1);
  const part = () => cache.readPart({ cid: block.cid, length: BYTES }, 0, new Uint8Array(4_096));
  await keep(cache, [block]);
  expect([cache.isAtHand(block.cid), part(), cache.isAtHand(block.cid)]).toEqual([true, false, false]);
  isInMemory = true;
  await clock.advance(999);
  expect(cache.isAtHand(block.cid)).toBe(false);
  await clock.advance(1);
  expect([cache.isAtHand(block.cid), part()]).toEqual([true, true]);
});

test.runIf(isThere)(
  "whatever another thread drops, frees or replaces meanwhile, a part is right or not read",
  { timeout: 60_000 },
  async () => {
    const blocks = Array.from({ length: 12 }, (_, at) => rawBlock(BYTES + at * 1_000));
    const some = fc.subarray([...blocks.keys()]);
    const step = fc.oneof(
      fc.record({ kind: fc.constant("keep" as const), one: fc.nat(1), some }),
      fc.record({ kind: fc.constant("verify" as const), one: fc.nat(1), some }),
      fc.record({ kind: fc.constant("release" as const), one: fc.nat(1), some }),
      fc.record({ kind: fc.constant("wait" as const), one: fc.nat(1), some }),
    );
    const counts = { read: 0, missed: 0 };
    const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const dir = await temporaryFolder();
      const clock = new ManualClock();
      // Room for half of them.
      const caches = [0, 1].map(() => openCache(dir, clock, undefined, 6 * BYTES));
      for (const { kind, one, some } of steps) {
        const cache = caches[one];
        const chosen = some.flatMap((at) => blocks[at] ?? []);
        if (kind === "keep") for (const block of chosen) cache?.keep([block]);
        if (kind === "keep") await cache?.settled();
        if (kind === "verify") await cache?.held(chosen.map(({ cid }) => cid));
        if (kind === "release") await cache?.release(chosen.map(({ cid }) => cid));
        if (kind === "wait") await clock.advance(200_000);
        for (const each of caches)
          for (const block of blocks)
            counts[reads(each, block, block.bytes.length - 9_000, 9_000) ? "read" : "missed"]++;
      }
    });
    await fc.assert(property, { numRuns: 60 });
    expect(Math.min(counts.read, counts.missed)).toBeGreaterThan(100);
  },
);
