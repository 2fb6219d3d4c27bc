/** The block cache on a simulated disk: what it answers is what was kept, or nothing. */
import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import type { Random } from "../../src/base/random.ts";
import { DiskBlockCache } from "../../src/blocks/disk-block-cache.ts";
import { seededRandom } from "../../src/simulate/seeded-random.ts";
import { SimulatedCacheDisk } from "../../src/simulate/disks/simulated-cache-disk.ts";
import { withFlippedBit } from "../../src/simulate/disks/faulty-line.ts";
import { rawBlock } from "../contract/block-store.ts";

const blocks = Array.from({ length: 40 }, (_, index) => rawBlock(100 + index));
const cids = blocks.map(({ cid }) => cid);

test("kept blocks survive a kill, and no others appear", async () => {
  const disk = new SimulatedCacheDisk({ random: seededRandom(1), flipped: (bytes) => bytes, isFull: () => false });
  await keep(disk, blocks.slice(1));
  const held = await cacheOn(disk.afterKill()).held(cids);
  expect([...held.keys()].sort()).toEqual(cids.slice(1).sort());
});

test("a flipped bit, a torn segment and a lost index make blocks missing, never wrong", async () => {
  const random = seededRandom(7);
  const found = { same: 0, other: 0, none: 0 };
  for (let round = 0; round < 200; round++) {
    const disk = diskWithFlips(random, 0.1);
    await keep(disk, blocks);
    const held = await cacheOn(round % 2 === 0 ? disk.afterPowerLoss() : disk.afterKill()).held(cids);
    for (const { cid, bytes } of blocks) {
      const answer = held.get(cid);
      if (answer === undefined) found.none++;
      else if (Buffer.compare(answer, bytes) === 0) found.same++;
      else found.other++;
    }
  }
  expect(found.other).toBe(0);
  expect(found.same).toBeGreaterThan(0);
  expect(found.none).toBeGreaterThan(0);
});

test("a cache that checks nothing returns wrong bytes from a disk with flipped bits", async () => {
  const disk = diskWithFlips(seededRandom(7), 1);
  await keep(disk, blocks);
  const held = await cacheOn(disk, () => true).held(cids);
  expect(blocks.some(({ cid, bytes }) => Buffer.compare(held.get(cid) ?? bytes, bytes) !== 0)).toBe(true);
});

test("a full disk empties the cache and fails nobody", async () => {
  let isFull = false;
  const disk = new SimulatedCacheDisk({ random: seededRandom(1), flipped: (bytes) => bytes, isFull: () => isFull });
  await keep(disk, blocks.slice(0, 20));
  isFull = true;
  await keep(disk, blocks.slice(20));
  expect((await cacheOn(disk).held(cids)).size).toBe(0);
});

function diskWithFlips(random: Random, chance: number): SimulatedCacheDisk {
  const flipped = (bytes: Uint8Array) => (random.fraction() < chance ? withFlippedBit(bytes, random) : bytes);
  return new SimulatedCacheDisk({ random, flipped, isFull: () => false });
}

function cacheOn(storage: SimulatedCacheDisk, isIntact?: () => boolean): DiskBlockCache {
  const check = isIntact === undefined ? {} : { isIntact };
  return new DiskBlockCache({ dir: "cache", bytes: 1 << 20, log: silentLog, storage, ...check });
}

async function keep(disk: SimulatedCacheDisk, kept: typeof blocks): Promise<void> {
  const cache = cacheOn(disk);
  cache.keep(kept);
  await cache.settled();
  await cache.close();
}
