import { assert, asyncProperty, boolean, constantFrom, nat } from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid, WriterId } from "../../../../src/base/ids.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Block, BlockReader } from "../../../../src/blocks/block-store.ts";
import { auditObjects } from "../../../../src/bucket/packed/object-audit.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { cidOf, digestKey, matchesCid } from "../../../../src/format/blocks/cid.ts";
import { COMMIT_FOLDER, commitObjectName, PACK_FOLDER, RUN_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import { EMPTY_MANIFEST, encodeManifest } from "../../../../src/format/blocks/manifest.ts";
import { decodeFooter, encodeFooter, footerOffset, readTail } from "../../../../src/format/blocks/pack.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { made, node, publish, randomLooking, raw, rootOf, upload } from "../../../support/opaque-commits.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";

const KiB = 1024;
const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 25 : 400;
/** A prime: in the long run it is every bit. */
const STRIDE = process.env["SYNCLINE_TEST_ALL"] === undefined ? 13 : 1;
const WRITER = "0".repeat(32) as WriterId;
const random = seededRandom(7);

/** A bucket with one content pack, three commit objects and no runs. */
async function smallBucket() {
  const store = new MemoryObjectStore();
  const open = async () =>
    new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(1), writer: () => WRITER });
  const remote = await made(open);
  const large = Array.from({ length: 40 }, (_, index) => randomLooking(`large ${index}`, 210 * KiB + index));
  const small = Array.from({ length: 20 }, (_, index) => raw(`small ${index}`));
  const nodes = [node("leaf"), node("inner")];
  await publish(remote, "two", large, nodes);
  await publish(remote, "three", small, []);
  const commits = ["one", "two", "three"].map((name) => upload(name).commit);
  return { store, remote, blocks: [...large, ...small, ...nodes, ...commits] };
}

/** Two commit objects and nothing else. */
async function tinyBucket() {
  const store = new MemoryObjectStore();
  const open = async () =>
    new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(1), writer: () => WRITER });
  const remote = await made(open);
  const content = [raw("a"), raw("bc"), node("leaf")];
  await publish(remote, "two", content.slice(0, 2), content.slice(2));
  return { store, remote, blocks: [...content, upload("one").commit, upload("two").commit] };
}

/** A bucket whose first 64 commits are in a run. `first` is published before them. */
async function bucketWithRun(first: readonly Block[] = []) {
  const store = new MemoryObjectStore();
  const open = async () =>
    new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(1), writer: () => WRITER });
  const remote = await made(open);
  const blocks: Block[] = [upload("one").commit];
  if (first.length > 0) await publish(remote, "first", [...first], []);
  for (let commit = 0; commit < 70; commit++) {
    const block = raw(`block of ${commit}`);
    await publish(remote, `${commit}`, [block], []);
    blocks.push(block, upload(`${commit}`).commit);
  }
  return { store, remote, blocks };
}

/** A bucket without runs. */
async function bucketWithLoose(first: readonly Block[]) {
  const store = new MemoryObjectStore();
  const open = async () =>
    new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(1), writer: () => WRITER });
  const remote = await made(open);
  await publish(remote, "first", [...first], []);
  await publish(remote, "second", [], []);
  return { store, remote };
}

/** The length of a pack's tail. */
const LOOKS_LIKE_TAIL = 48;

/** Words of blocks, by their offset. */
const TABLES: readonly ((at: number) => number)[] = [
  (at) => (at / 4) % 300,
  () => 0,
  (at) => Math.imul(at, 2_654_435_761) >>> 0,
  // All 48 bytes like a tail without a right hash: two small sizes, and the magic bytes.
  (at) => [3, 5, 0x434e5953, 0x314b4150][((at % LOOKS_LIKE_TAIL) - 32) / 4] ?? at,
];

/** A block of 32-bit words, different for every label. */
function table(size: number, label: number, word: (at: number) => number): Block {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 4) bytes.writeUInt32LE(word(at), at);
  bytes.writeUInt32LE(label, 0);
  return { cid: cidOf("raw", bytes), bytes };
}

describe("an audit", () => {
  test("finds nothing wrong with a sound bucket, having hashed every block", async () => {
    const { remote, blocks } = await smallBucket();
    expect(await auditObjects(remote)).toMatchObject({ damage: [], objects: 4, blocks: blocks.length });
    expect((await auditObjects((await bucketWithRun()).remote)).damage).toEqual([]);
  });

  test("names the pack and the block with the flipped bit", async () => {
    const { store, remote, blocks } = await smallBucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    await flip(store, pack, 8 * 300_000);
    const { damage } = await auditObjects(remote);
    expect(damage).toEqual([{ object: pack, cid: expect.anything(), what: expect.stringContaining("hash") }]);
    expect(blocks.some(({ cid }) => digestKey(cid) === digestKey(damage[0]?.cid ?? cid))).toBe(true);
  });

  test("names a root and claims that are far too large, which no repair trips over", async () => {
    const { remote, store } = await smallBucket();
    await store.delete("root");
    const names = ["bases/w", "lease/w", "root"];
    for (const name of names) await store.putNew(name, [new Uint8Array(5_000_000)]);
    const tooLarge = names.toReversed().map((object) => ({ object, what: expect.stringContaining("has more than") }));
    expect((await auditObjects(remote)).damage).toMatchObject([tooLarge[0], tooLarge[1], tooLarge[2]]);
    expect((await repairObjects(remote, { random })).damage).toMatchObject(tooLarge);
    await expect(remote.readRoot()).rejects.toMatchObject({ code: "store_corrupt" });
  });

  test("names a missing pack, a missing run and a missing root", async () => {
    const { store, remote } = await bucketWithRun();
    const [run = ""] = await namesOf(store, RUN_FOLDER);
    const lastButOne = commitObjectName(upload("68").commit.cid);
    for (const name of [run, lastButOne]) await store.delete(name);
    const missing = (await auditObjects(remote)).damage.map(({ object, what }) => `${object} ${what}`);
    expect(missing.sort()).toEqual([`${lastButOne} is missing`, `${run} is missing`]);
    await store.delete("root");
    expect((await auditObjects(remote)).damage).toMatchObject([{ object: "root", what: "is missing" }]);
  });
});

describe("a repair", () => {
  test("heals any single flipped bit from a cache, and restores packs byte for byte", async () => {
    const { store, remote, blocks } = await smallBucket();
    const packs = [...(await namesOf(store, PACK_FOLDER)), ...(await namesOf(store, COMMIT_FOLDER))];
    const local = cacheOf(blocks);
    await assert(
      asyncProperty(constantFrom(...packs), nat(), boolean(), async (pack, at, nearEnd) => {
        const before = (await store.get(pack))?.bytes ?? new Uint8Array();
        const bits = before.length * 8;
        await flip(store, pack, nearEnd ? bits - 1 - (at % Math.min(bits, 4000)) : at % bits);
        expect((await auditObjects(remote)).damage).not.toEqual([]);
        const { damage, repaired } = await repairObjects(remote, { random, local });
        expect(damage).toEqual([]);
        expect(repaired).not.toEqual([]);
        const after = (await store.get(pack))?.bytes ?? new Uint8Array();
        expect(pack.startsWith(COMMIT_FOLDER) || Buffer.compare(after, before) === 0).toBe(true);
        expect(await unreadable(remote, blocks)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("heals the bits of small commit objects one after another, including the newest", async () => {
    const { store, remote, blocks } = await tinyBucket();
    const local = cacheOf(blocks);
    for (const name of await namesOf(store, COMMIT_FOLDER)) {
      for (let bit = 0; bit < ((await store.head(name))?.size ?? 0) * 8; bit += STRIDE) {
        await flip(store, name, bit);
        const { damage } = await repairObjects(remote, { random, local });
        expect({ name, bit, damage, unreadable: await unreadable(remote, blocks) }).toEqual({
          name,
          bit,
          damage: [],
          unreadable: [],
        });
      }
    }
  });

  test("heals a damaged footer without any cache", async () => {
    const { store, remote, blocks } = await smallBucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    const size = (await store.head(pack))?.size ?? 0;
    for (const bytesFromEnd of [49, 60, 90, 1000]) await flip(store, pack, (size - bytesFromEnd) * 8);
    expect((await repairObjects(remote, { random })).damage).toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
  });

  test("reports a block that has no copy, and leaves all others readable", async () => {
    const { store, remote, blocks } = await smallBucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    await flip(store, pack, 8 * 300_000);
    const { damage } = await repairObjects(remote, { random });
    expect(damage).toHaveLength(1);
    const lost = await unreadable(remote, blocks);
    expect(lost.map(digestKey)).toEqual(damage.map(({ cid }) => digestKey(cid ?? ("" as Cid))));
  });

  test("keeps every block before the lost end of a pack, whatever its bytes look like", async () => {
    const tables = Array.from({ length: 160 }, (_, index) => table(60 * KiB, index, (at) => (at % 36_000) / 4));
    const { store, remote } = await bucketWithRun(tables);
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    await cut(store, pack, 100_000);
    const lost = await unreadable(remote, tables);
    expect(lost).toHaveLength(2);
    const { damage } = await repairObjects(remote, { random });
    expect(await unreadable(remote, tables)).toEqual(lost);
    expect(damage.map(({ cid }) => cid && digestKey(cid)).sort()).toEqual(lost.map(digestKey).sort());
  });

  test("goes on in a pack whose end a killed repair had made anew", async () => {
    const blocks = Array.from({ length: 20 }, (_, index) => table(3 * KiB, index, (at) => at));
    const { store, remote } = await bucketWithLoose(blocks);
    const pack = commitObjectName(upload("first").commit.cid);
    await flip(store, pack, 8 * 4_000);
    await newEndAt(store, pack);
    const held = new BlockMap();
    for (const block of blocks) held.put(block);
    const { damage } = await repairObjects(remote, { random, local: held });
    expect(damage.map(({ what }) => what)).toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
  });

  test("leaves every readable block of a cut pack readable, and reports the rest", async () => {
    const commit = commitObjectName(upload("first").commit.cid);
    await assert(
      asyncProperty(constantFrom(...TABLES), boolean(), nat(), boolean(), async (word, inRun, at, aligned) => {
        const blocks = Array.from({ length: 20 }, (_, index) => table(85 * LOOKS_LIKE_TAIL, index, word));
        const { store, remote } = inRun ? await bucketWithRun(blocks) : await bucketWithLoose(blocks);
        const size = (await store.head(commit))?.size ?? 0;
        const rest = at % size;
        await cut(store, commit, size - (aligned ? rest - (rest % LOOKS_LIKE_TAIL) : rest));
        const before = await unreadable(remote, blocks);
        const { damage } = await repairObjects(remote, { random });
        const after = await unreadable(remote, blocks);
        expect(after.filter((cid) => !before.includes(cid))).toEqual([]);
        const reported = new Set(damage.map(({ cid, object }) => (cid === undefined ? object : digestKey(cid))));
        // A pack without any block left is in no index any more: the check of the trees misses its blocks.
        const isListed = inRun && after.length < blocks.length;
        expect(after.filter((cid) => isListed && !reported.has(digestKey(cid)))).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("restores the blocks of a missing pack from a cache", async () => {
    const { store, remote, blocks } = await smallBucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    await store.delete(pack);
    remote.forgetPlacement();
    const wanted = await unreadable(remote, blocks);
    expect(wanted).toHaveLength(40);
    const { damage } = await repairObjects(remote, { random, local: cacheOf(blocks), wanted });
    expect(damage).toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
  });

  test("rebuilds a missing or damaged run from footers alone", async () => {
    const { store, remote, blocks } = await bucketWithRun();
    const [run = ""] = await namesOf(store, RUN_FOLDER);
    await flip(store, run, 12_345);
    expect((await repairObjects(remote, { random })).damage).toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
    for (const name of await namesOf(store, RUN_FOLDER)) await store.delete(name);
    remote.forgetPlacement();
    expect((await repairObjects(remote, { random })).damage).toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
  });

  test("rebuilds the newest commit object around a cached commit, and publishing goes on", async () => {
    const { store, remote, blocks } = await bucketWithRun();
    const { commit } = await rootOf(remote);
    await store.delete(commitObjectName(commit));
    const wanted = blocks.slice(-2).map(({ cid }) => cid);
    expect((await repairObjects(remote, { random, local: cacheOf(blocks), wanted })).damage).toEqual([]);
    await publish(remote, "after the repair", [raw("more")], []);
    expect(await unreadable(remote, [...blocks, raw("more")])).toEqual([]);
  });

  test("leaves alone what was published while it read footers, and says that it must run again", async () => {
    const { store, remote, blocks } = await bucketWithRun();
    for (const name of await namesOf(store, RUN_FOLDER)) await store.delete(name);
    const fresh = raw("only in the newest commit object");
    const hurried = behindList(store, COMMIT_FOLDER, () => publish(remote, "newest", [fresh], []));
    const local = cacheOf([upload("newest").commit]);
    const repairing = repairObjects({ store: hurried, forgetPlacement: () => {} }, { random, local });
    await expect(repairing).rejects.toMatchObject({ code: "root_moved" });
    expect((await repairObjects(remote, { random, local })).damage).toEqual([]);
    expect(await unreadable(remote, [...blocks, fresh])).toEqual([]);
  });

  test("never replaces a readable object with cached data, even if no list names it", async () => {
    const { store, remote, blocks } = await bucketWithRun();
    const newest = commitObjectName((await rootOf(remote)).commit);
    for (const name of await namesOf(store, RUN_FOLDER)) await store.delete(name);
    const list: ObjectStore["list"] = async function* (prefix) {
      for await (const info of store.list(prefix)) if (info.name !== newest) yield info;
    };
    const forgetful = { store: alteredStore(store, { list }), forgetPlacement: () => {} };
    const { damage } = await repairObjects(forgetful, { random, local: cacheOf([upload("69").commit]) });
    expect(damage).toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
  });

  test("does not bring back a pack that was collected meanwhile", async () => {
    const { store, remote, blocks } = await bucketWithRun();
    const pack = commitObjectName(upload("5").commit.cid);
    await flip(store, pack, 8);
    let reads = 0;
    const get: ObjectStore["get"] = async (name) => {
      if (name !== pack || reads++ > 0) return store.get(name);
      // As a collector does, at the last moment.
      await publish(remote, "collected", [], []);
      await store.delete(pack);
      return undefined;
    };
    const late = { store: alteredStore(store, { get }), forgetPlacement: () => {} };
    const repairing = repairObjects(late, { random, local: cacheOf(blocks) });
    await expect(repairing).rejects.toMatchObject({ code: "root_moved" });
    expect(reads).toBe(1);
    expect(await namesOf(store, COMMIT_FOLDER)).not.toContain(pack);
  });

  test("deletes unreadable leases and bases once they no longer protect anything, and leaves younger ones", async () => {
    let days = 100;
    const store = new MemoryObjectStore("memory:", () => days * 24 * 3_600_000);
    const open = async () => new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(1) });
    const remote = await made(open);
    const claims = [`lease/${WRITER}`, `bases/${WRITER}`];
    for (const name of claims) await store.putNew(name, [Buffer.from("nonsense")]);
    const left = async () => (await repairObjects(remote, { random })).damage.map(({ object }) => object);
    expect((await auditObjects(remote)).damage.map(({ object }) => object)).toEqual(claims);
    expect(await left()).toEqual(claims);
    days += 2;
    expect(await left()).toEqual([`bases/${WRITER}`]);
    days += 90;
    expect(await left()).toEqual([]);
    expect(await namesOf(store, RUN_FOLDER)).toEqual([]);
  });

  test("changes nothing in a sound bucket", async () => {
    const { store, remote } = await smallBucket();
    const before = await contentsOf(store);
    expect(await repairObjects(remote, { random })).toEqual({ repaired: [], damage: [] });
    expect(await contentsOf(store)).toEqual(before);
  });
});

/** The store, where something happens once right behind the first list of a folder. */
function behindList(store: MemoryObjectStore, folder: string, happens: () => Promise<unknown>): ObjectStore {
  let pending = true;
  const list: ObjectStore["list"] = async function* (prefix) {
    yield* store.list(prefix);
    if (prefix !== folder || !pending) return;
    pending = false;
    await happens();
  };
  return alteredStore(store, { list });
}

/** Drops the last bytes of an object. */
async function cut(store: MemoryObjectStore, name: string, length: number): Promise<void> {
  const { bytes, token } = (await store.get(name)) ?? { bytes: new Uint8Array(), token: "" };
  expect((await store.putIfMatch(name, [bytes.subarray(0, bytes.length - length)], token)).kind).toBe("stored");
}

/** Writes the pack's end again, without the manifest, as a repair does before the newest commit object lists the pack anew. */
async function newEndAt(store: MemoryObjectStore, name: string): Promise<void> {
  const { bytes, token } = (await store.get(name)) ?? { bytes: new Uint8Array(), token: "" };
  const shape = readTail(bytes, bytes.length);
  const start = footerOffset(shape);
  const { footer } = decodeFooter(bytes.subarray(start), shape);
  const end = encodeFooter([...footer], encodeManifest(EMPTY_MANIFEST)).bytes;
  expect(end.length).not.toBe(bytes.length - start);
  expect((await store.putIfMatch(name, [bytes.subarray(0, start), end], token)).kind).toBe("stored");
}

async function flip(store: MemoryObjectStore, name: string, bit: number): Promise<void> {
  const { bytes, token } = (await store.get(name)) ?? { bytes: new Uint8Array(), token: "" };
  const at = Math.floor(bit / 8);
  const flipped = bytes.with(at, (bytes[at] ?? 0) ^ (1 << (bit % 8)));
  expect((await store.putIfMatch(name, [flipped], token)).kind).toBe("stored");
}

/** Those whose bytes cannot be read, or are wrong. */
async function unreadable(remote: PackedRemote, blocks: readonly Block[]): Promise<Cid[]> {
  remote.forgetPlacement();
  const lost: Cid[] = [];
  for (const { cid } of blocks) {
    const bytes = await remote.blocks.get(cid).catch((error: unknown) => {
      if (error instanceof SynclineError) return undefined;
      throw error;
    });
    if (bytes === undefined || !matchesCid(cid, bytes)) lost.push(cid);
  }
  return lost;
}

function cacheOf(blocks: readonly Block[]): BlockReader {
  const held = new Map(blocks.map(({ cid, bytes }) => [cid, bytes]));
  const get = async (cid: Cid) => {
    const bytes = held.get(cid);
    if (bytes === undefined) throw new SynclineError("block_not_found", `${cid} is not in the cache.`);
    return bytes;
  };
  return {
    get,
    getMany: async (cids) => new Map(await Promise.all(cids.map(async (cid) => [cid, await get(cid)] as const))),
  };
}

async function namesOf(store: MemoryObjectStore, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(prefix)) names.push(name);
  return names;
}

async function contentsOf(store: MemoryObjectStore): Promise<Map<string, string>> {
  const names = await namesOf(store, "");
  return new Map(await Promise.all(names.map(async (name) => [name, (await store.get(name))?.token ?? ""] as const)));
}
