import { describe, expect, test } from "vitest";
import type { Cid } from "../../../../src/base/ids.ts";
import { blake3 } from "../../../../src/crypto/hash.ts";
import { PackDirectory } from "../../../../src/bucket/packed/pack-directory.ts";
import { PlacementIndex } from "../../../../src/bucket/packed/placement-index.ts";
import { planReads } from "../../../../src/packs/ranged-reads.ts";
import { mergePages, rowsOfPacks, countRunsToMerge } from "../../../../src/bucket/packed/run-merge.ts";
import { cidFromDigest } from "../../../../src/format/blocks/cid.ts";
import { EMPTY_MANIFEST } from "../../../../src/format/blocks/manifest.ts";
import { packName, runName } from "../../../../src/format/blocks/object-name.ts";
import { encodeFooter, PackFooter, type PackRow } from "../../../../src/format/blocks/pack.ts";
import { pagesOfRun } from "../../../../src/format/blocks/run.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { countedStore } from "../../../support/counted-store.ts";

const KiB = 1024;
const pack = packName(new Uint8Array(16));

function digestOf(index: number, skew: boolean): Uint8Array {
  const digest = blake3(Buffer.from(`block ${index}`));
  // As if somebody had looked for blocks whose hashes begin alike.
  return skew
    ? digest
        .with(0, 7)
        .with(1, 7)
        .with(2, (digest[2] ?? 0) % 4)
    : digest;
}

/** An index whose blocks are all in one run of this many rows. */
async function indexOfRun(rows: number, skew = false) {
  const counted = countedStore(new MemoryObjectStore());
  const all: PackRow[] = Array.from({ length: rows }, (_, index) => ({
    digest: digestOf(index, skew),
    offset: index,
    length: 1,
    codec: 0,
  }));
  const run = { id: "00".repeat(16), rows };
  const { footer } = encodeFooter(all, new Uint8Array());
  await counted.store.putNew(
    runName(run.id),
    mergePages([rowsOfPacks([{ pack, footer }])], () => {}),
  );
  const own = { name: packName(new Uint8Array(16).fill(1)), size: 0, rows: 0, manifestBytes: 0 };
  const open = () =>
    new PlacementIndex(new PackDirectory(counted.store), {
      pack: own,
      footer: new PackFooter(new Uint8Array()),
      manifest: { ...EMPTY_MANIFEST, runs: [run] },
    });
  counted.take();
  return { open, take: counted.take };
}

describe("a run", () => {
  test("is searched with fewer than 1.5 page reads per block on average, whether the block exists or not", async () => {
    const rows = 60_000;
    const { open, take } = await indexOfRun(rows);
    const lookups = 300;
    for (let index = 0; index < lookups; index++) {
      const [there, absent] = [cidOf(index * 199), cidOf(rows + index)];
      expect((await open().locate([there])).found.get(there)).toMatchObject({ pack, offset: index * 199 });
      expect((await open().locate([absent])).found.size).toBe(0);
    }
    const pages = take().reads / (2 * lookups);
    console.log(`${pagesOfRun(rows)} pages: ${pages.toFixed(2)} pages read for a lookup without a cache`);
    expect(pages).toBeLessThan(1.5);
  });

  test("finds all its blocks in one look-up, reading each page once", async () => {
    const rows = 20_000;
    const { open, take } = await indexOfRun(rows);
    const { found } = await open().locate(Array.from({ length: rows }, (_, index) => cidOf(index)));
    expect(found.size).toBe(rows);
    expect(take().reads).toBe(pagesOfRun(rows));
  });

  test("is searched completely even if its digests are not uniform", async () => {
    const rows = 5_000;
    const { open } = await indexOfRun(rows, true);
    const cids = Array.from({ length: rows }, (_, index) => cidFromDigest("raw", digestOf(index, true)));
    expect((await open().locate(cids)).found.size).toBe(rows);
    const absent = [new Uint8Array(32), new Uint8Array(32).fill(255)].map((digest) => cidFromDigest("raw", digest));
    expect((await open().locate(absent)).found.size).toBe(0);
  });
});

describe("tiers of runs", () => {
  const run = (rows: number) => ({ id: `${rows}`, rows });

  test.each([
    ["a run 16 times as large is kept", [run(1600)], 100, 0],
    ["a smaller run is merged", [run(1599)], 100, 1],
    ["a merge can grow enough to take in the next run", [run(20_000), run(1500)], 100, 2],
    ["at most four runs are kept, however large", [20, 15, 10, 5].map((power) => run(2 ** power * 100)), 1, 1],
  ])("%s", (_, runs, rows, merged) => {
    expect(countRunsToMerge(runs, rows)).toBe(merged);
  });
});

describe("reads", () => {
  const place = (offset: number, length: number) => [cidOf(offset), { pack, offset, length, codec: 0 }] as const;
  const planned = (...places: ReturnType<typeof place>[]) =>
    planReads(places).map(({ offset, length, blocks }) => ({ offset, length, blocks: blocks.length }));

  test("adjacent blocks and small gaps are read together, in whatever order they are requested", () => {
    expect(planned(place(200 * KiB, 10), place(0, 100 * KiB), place(220 * KiB, 10))).toEqual([
      { offset: 0, length: 220 * KiB + 10, blocks: 3 },
    ]);
  });

  test("gaps over 128 KiB are not read", () => {
    expect(planned(place(0, 10), place(128 * KiB + 11, 10))).toHaveLength(2);
  });

  test("no read exceeds 8 MiB", () => {
    const places = Array.from({ length: 40 }, (_, index) => place(index * 512 * KiB, 512 * KiB));
    expect(planned(...places).map(({ length }) => length)).toEqual([8, 8, 4].map((size) => size * 1024 * KiB));
  });

  test("overlapping blocks are cut out of one read", () => {
    expect(planned(place(0, 100), place(0, 50), place(20, 10))).toEqual([{ offset: 0, length: 100, blocks: 3 }]);
  });
});

function cidOf(index: number): Cid {
  return cidFromDigest("raw", digestOf(index, false));
}
