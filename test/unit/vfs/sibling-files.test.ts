/** What is fetched when small files of one directory are read, and how often. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { nextTurn } from "../../../src/base/concurrency.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { SIBLINGS_MAX, SIBLINGS_MAX_BYTES } from "../../../src/base/limits.ts";
import { silentLog } from "../../../src/base/log.ts";
import { codecOf } from "../../../src/format/blocks/cid.ts";
import { SimulatedDisk } from "../../../src/simulate/disks/simulated-disk.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { openWithObjects } from "../../../src/vfs/open-vfs.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const name = (at: number) => `d/f${String(at).padStart(4, "0")}`;

/** A machine with a directory of small files of which it has read nothing, and its requests for contents. */
async function world(files: number, bytes: number, more: (fs: VfsHarness) => Promise<void> = async () => {}) {
  const others = await VfsHarness.create();
  await others.makeDirectory("d");
  const contents = Array.from({ length: files }, (_, at) => `${at} `.repeat(bytes).slice(0, bytes));
  for (const [at, content] of contents.entries()) await others.make(name(at), content);
  await more(others);
  await others.publish();
  const { root, blocks } = others;
  const requests: (readonly Cid[])[] = [];
  const getMany = (cids: readonly Cid[]) => {
    const chunks = cids.filter((cid) => codecOf(cid) === "raw");
    if (chunks.length > 0) requests.push(chunks);
    return blocks.getMany(cids);
  };
  const open = () => {
    const reader = { get: (cid: Cid) => blocks.get(cid), getMany };
    const clock = new ManualClock();
    const storage = new SimulatedDisk();
    const { vfs, objects } = openWithObjects({ storage, blocks: reader, clock, base: root, log: silentLog });
    const fs = new VfsDriver(vfs);
    /** Waits for missing blocks, as the door does. */
    const read = async (path: string) => Buffer.from(await fs.read(await fs.ino(path), 0, bytes)).toString();
    return { vfs, objects, fs, read };
  };
  return { contents, requests, open };
}

test("files that are read in order are fetched once each, in few requests", async () => {
  const { contents, requests, open } = await world(600, 1_000);
  const { read } = open();
  for (const [at, content] of contents.entries()) expect(await read(name(at))).toBe(content);
  // Nodes are small in this test. If the next one is not in memory yet, a file is fetched alone.
  expect(requests.length).toBeLessThan(40);
  expect(Math.max(...requests.map(({ length }) => length))).toBeLessThanOrEqual(SIBLINGS_MAX);
  expect(requests.flat()).toHaveLength(600);
  expect(new Set(requests.flat()).size).toBe(600);
});

test("files that are read backwards, far apart or rarely are fetched alone", async () => {
  const { requests, open } = await world(200, 1_000);
  const { read } = open();
  for (let at = 199; at > 150; at--) await read(name(at));
  for (let at = 0; at < 150; at += 40) await read(name(at));
  for (const at of [100, 101, 20, 21, 70, 71]) await read(name(at));
  expect(Math.max(...requests.map(({ length }) => length))).toBe(1);
});

test("in any order of reads, every file is correct, and no block is fetched twice", async () => {
  const { contents, requests, open } = await world(80, 700);
  const step = fc.record({
    from: fc.nat(79),
    count: fc.integer({ min: 1, max: 40 }),
    stride: fc.integer({ min: 1, max: 3 }),
  });
  const property = fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
    requests.length = 0;
    const { read } = open();
    for (const { from, count, stride } of steps)
      for (let at = from; at < Math.min(80, from + count * stride); at += stride)
        expect(await read(name(at))).toBe(contents[at]);
    expect(new Set(requests.flat()).size).toBe(requests.flat().length);
  });
  await fc.assert(property, { numRuns: 30 });
});

test("the bytes fetched ahead stay within the bound, however many files a directory has", async () => {
  const bytes = 12_000;
  const { requests, open } = await world(500, bytes);
  const { read } = open();
  for (let at = 0; at < 500; at++) await read(name(at));
  const most = Math.max(...requests.map(({ length }) => length * bytes));
  expect(most).toBeGreaterThan(SIBLINGS_MAX_BYTES / 4);
  expect(most).toBeLessThanOrEqual(SIBLINGS_MAX_BYTES);
});

test("directories, large files and very small files in between are skipped", async () => {
  const { requests, open } = await world(40, 1_000, async (fs) => {
    for (let at = 0; at < 40; at += 2) await fs.makeDirectory(`${name(at)}-directory`);
    for (let at = 1; at < 40; at += 2) await fs.make(`${name(at)}-inline`, "short");
    await fs.make(`${name(20)}-large`, [...Array(400_000).keys()].join(" "));
  });
  const { read } = open();
  for (let at = 0; at < 40; at++) await read(name(at));
  expect(requests.length).toBeLessThan(20);
  expect(requests.flat()).toHaveLength(40);
});

test("nothing is fetched ahead while syncing is paused", async () => {
  const { requests, open } = await world(40, 1_000);
  const { read, objects } = open();
  objects.loader.fetchesAhead = false;
  for (let at = 0; at < 40; at++) await read(name(at));
  expect(requests).toHaveLength(40);
});

test("nothing is fetched ahead for an index program, and for others as usual", async () => {
  const { requests, open } = await world(60, 1_000);
  const { fs, vfs, objects, read } = open();
  for (let at = 0; at < 20; at++) {
    const ino = await fs.ino(name(at));
    expect(() => vfs.read(ino, 0, 1_000, new Uint8Array(1_000))).toThrow("blocks are not in memory");
    // The door does this when it has recognized the program.
    objects.loader.dropAhead();
    await nextTurn();
  }
  expect(requests).toEqual([]);
  for (let at = 5; at < 60; at++) await read(name(at));
  expect(requests.length).toBeLessThan(12);
  expect(requests.flat()).toHaveLength(55);
});

test("reads of files that changed here fetch nothing ahead", async () => {
  const { requests, open } = await world(40, 1_000);
  const { fs, read } = open();
  for (let at = 0; at < 3; at++) {
    await fs.write(await fs.ino(name(at)), 10, "new");
    await read(name(at));
  }
  expect(Math.max(...requests.map(({ length }) => length))).toBe(1);
});
