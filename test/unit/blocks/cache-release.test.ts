/** Blocks that are released from the cache: what stays, and how much disk space is freed. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { gapsAt } from "../../../src/blocks/cache-release.ts";
import { CacheFolder } from "../../../src/blocks/cache-storage.ts";
import { DiskBlockCache } from "../../../src/blocks/disk-block-cache.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { SimulatedCacheDisk } from "../../../src/simulate/disks/simulated-cache-disk.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { whyNoAddon } from "../../support/fuse-process.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const KiB = 1024;
/** Segments of 128 KiB. */
const LIMIT = 2048 * KiB;

test("gaps cover all dropped blocks, no remaining block, and nothing behind the last dropped one", () => {
  const block = fc.record({
    length: fc.integer({ min: 1, max: 50 }),
    fate: fc.constantFrom("left", "dropped", "dead"),
  });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 40 }), (blocks) => {
      let end = 0;
      const placed = blocks.map(({ length, fate }) => ({ fate, length, offset: (end += length) - length }));
      const of = (fate: string) => placed.filter((each) => each.fate === fate);
      const gaps = gapsAt(of("dropped"), of("left"));
      const bytes = (ranges: readonly { offset: number; length: number }[]) =>
        new Set(ranges.flatMap(({ offset, length }) => Array.from({ length }, (_, at) => offset + at)));
      const freed = bytes(gaps);
      expect([...bytes(of("dropped"))].every((at) => freed.has(at))).toBe(true);
      expect([...bytes(of("left"))].some((at) => freed.has(at))).toBe(false);
      const last = placed.findLast(({ fate }) => fate !== "dead");
      expect(Math.max(0, ...gaps.map(({ offset, length }) => offset + length))).toBeLessThanOrEqual(
        last === undefined ? 0 : last.offset + last.length,
      );
      expect(gaps.reduce((sum, { length }) => sum + length, 0)).toBe(freed.size);
    }),
  );
});

test(
  "released blocks are gone, all others stay, and the returned figure is the freed disk space",
  { timeout: 60_000 },
  async () => {
    const blocks = Array.from({ length: 60 }, (_, index) => sized(index, (index % 6) * 5_000 + 3));
    const choice = fc.array(fc.boolean(), { minLength: blocks.length, maxLength: blocks.length });
    const property = fc.asyncProperty(choice, fc.boolean(), fc.boolean(), async (isReleased, canPunch, fromOther) => {
      const dir = join(await temporaryFolder(), "cache");
      const [one, other] = [open(dir, canPunch), open(dir, canPunch)];
      one.keep(blocks.filter((_, index) => index % 2 === 0));
      await one.settled();
      other.keep(blocks.filter((_, index) => index % 2 === 1));
      await other.settled();
      const [released, stays] = [blocks.filter((_, at) => isReleased[at]), blocks.filter((_, at) => !isReleased[at])];
      const before = takenBy(dir);
      const freed = await (fromOther ? other : one).release(released.map(({ cid }) => cid));
      expect(before - takenBy(dir)).toBe(freed);
      for (const cache of [one, other, open(dir, canPunch)]) {
        expect([...(await cache.held(blocks.map(({ cid }) => cid))).keys()]).toEqual(
          expect.arrayContaining(stays.map(({ cid }) => cid)),
        );
        expect((await cache.held(released.map(({ cid }) => cid))).size).toBe(0);
      }
      const bytes = stays.reduce((sum, each) => sum + each.bytes.length, 0);
      expect(one.bytes).toBeGreaterThanOrEqual(bytes);
      expect(one.bytes).toBeLessThanOrEqual(canPunch ? bytes : Infinity);
      other.keep(released);
      await other.settled();
      expect((await one.held(blocks.map(({ cid }) => cid))).size).toBe(blocks.length);
    });
    await fc.assert(property, { numRuns: 20 });
  },
);

test.skipIf(whyNoAddon() !== undefined)("most of a large block's space is freed though its segment stays", async () => {
  const dir = join(await temporaryFolder(), "cache");
  const cache = open(dir, true);
  const [small, large, last] = [sized(1, 100), sized(2, 40 * KiB), sized(3, 100)];
  cache.keep([small, large, last]);
  await cache.settled();
  const freed = await cache.release([large.cid]);
  expect(freed).toBeGreaterThanOrEqual(32 * KiB);
  expect(freed).toBeLessThanOrEqual(40 * KiB);
  expect((await cache.held([small.cid, last.cid])).size).toBe(2);
});

test("an unreadable cache releases nothing, without an error", async () => {
  const cache = open(join(await temporaryFolder(), "cache"), true);
  expect(await cache.release([])).toBe(0);
  expect(await cache.release([sized(1, 5).cid])).toBe(0);
});

test("after a kill or power loss, blocks that were not released are intact or absent", async () => {
  const random = seededRandom(11);
  const blocks = Array.from({ length: 30 }, (_, index) => sized(index, 1 + Math.floor(random.fraction() * 3_000)));
  for (let round = 0; round < 100; round++) {
    const disk = new SimulatedCacheDisk({ random, flipped: (bytes) => bytes, isFull: () => false });
    const cache = new DiskBlockCache({ dir: "cache", bytes: 320 * KiB, log: silentLog, storage: disk });
    for (const block of blocks) {
      cache.keep([block]);
      if (random.fraction() < 0.3) await cache.settled();
    }
    const released = new Set<Cid>(blocks.filter(() => random.fraction() < 0.5).map(({ cid }) => cid));
    await cache.release([...released]);
    const next = round % 2 === 0 ? disk.afterKill() : disk.afterPowerLoss();
    const after = new DiskBlockCache({ dir: "cache", bytes: 320 * KiB, log: silentLog, storage: next });
    const held = await after.held(blocks.map(({ cid }) => cid));
    const isRight = ({ cid, bytes }: Block) => Buffer.compare(held.get(cid) ?? Buffer.alloc(0), bytes) === 0;
    expect(blocks.filter(({ cid }) => released.has(cid) && held.has(cid))).toEqual([]);
    // Power loss may remove any block.
    const expected = blocks.filter(({ cid }) => !released.has(cid) && (round % 2 === 0 || held.has(cid)));
    expect(expected.every(isRight)).toBe(true);
  }
});

function sized(seed: number, length: number): Block {
  const bytes = Buffer.alloc(length, `${seed}.`);
  return { cid: cidOf("raw", bytes), bytes };
}

function takenBy(dir: string): number {
  const segments = readdirSync(dir).filter((name) => name.endsWith(".blocks"));
  return segments.reduce((sum, name) => sum + statSync(join(dir, name)).blocks * 512, 0);
}

function open(dir: string, canPunch: boolean): DiskBlockCache {
  const storage = new CacheFolder(dir);
  if (!canPunch) storage.freeRanges = async () => false;
  const cache = new DiskBlockCache({ dir, bytes: LIMIT, log: silentLog, storage });
  onTestFinished(() => cache.close());
  return cache;
}
