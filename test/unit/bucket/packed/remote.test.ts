import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import type { WriterId } from "../../../../src/base/ids.ts";
import { MAX_LOOSE_PACKS, MAX_RUNS } from "../../../../src/base/limits.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { PackDirectory } from "../../../../src/bucket/packed/pack-directory.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { commitObjectName, PACK_FOLDER, RUN_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import type { Root } from "../../../../src/roots/root-store.ts";
import { made, node, publish, randomLooking, raw, rootOf, upload } from "../../../support/opaque-commits.ts";
import { countedStore } from "../../../support/counted-store.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";

const KiB = 1024;
let agents = 0;

function agent(store: ObjectStore): PackedRemote {
  const writer = (++agents).toString(16).padStart(32, "0") as WriterId;
  return new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(agents), writer: () => writer });
}

describe("requests", () => {
  test("one small edit takes two puts", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    take();
    await publish(remote, "edit", [randomLooking("file", 40 * KiB)], [node("leaf"), node("inner")]);
    const { puts, bytesPut, reads, names } = take();
    console.log(`one small edit: ${puts} puts (${names.join(", ")}), ${bytesPut} bytes, ${reads} reads`);
    expect(puts).toBe(2);
    expect(bytesPut).toBeLessThan(42 * KiB);
  });

  test("2,000 small files of 53.5 MB take at most 8 puts, including a lease", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    take();
    const files = Array.from({ length: 2000 }, (_, index) => randomLooking(`file ${index}`, 26_750));
    const leaves = Array.from({ length: 60 }, (_, index) => asNode(randomLooking(`leaf ${index}`, 16 * KiB)));
    await publish(remote, "import", files, leaves);
    const { puts, bytesPut, names } = take();
    console.log(`2,000 files: ${puts} puts (${names.map((name) => name.split("/")[0]).join(", ")}), ${bytesPut} bytes`);
    expect(puts).toBeLessThanOrEqual(8);
    const reader = agent(store);
    const read = await reader.blocks.getMany(files.map(({ cid }) => cid));
    expect(files.every(({ cid, bytes }) => Buffer.compare(bytes, read.get(cid) ?? new Uint8Array()) === 0)).toBe(true);
  });

  test("adjacent blocks are read together: 2,000 files take a few ranged reads", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const files = Array.from({ length: 2000 }, (_, index) => randomLooking(`file ${index}`, 10_000));
    await publish(await made(async () => agent(store)), "import", files, []);
    const reader = agent(store);
    await reader.readRoot();
    take();
    await reader.blocks.getMany(files.map(({ cid }) => cid));
    const { reads } = take();
    console.log(`2,000 files of 10 kB cold: ${reads} reads`);
    expect(reads).toBeLessThanOrEqual(10);
  });

  test("reading another writer's small edit takes two requests", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const writer = await made(async () => agent(store));
    const reader = agent(store);
    await reader.blocks.get(upload("one").commit.cid);
    await publish(writer, "edit", [raw("file")], [node("leaf")]);
    take();
    await reader.readRoot();
    await reader.blocks.getMany([upload("edit").commit.cid, node("leaf").cid, raw("file").cid]);
    const { reads } = take();
    console.log(`following one small edit: ${reads} reads`);
    expect(reads).toBe(2);
  });
});

describe("runs", () => {
  test("every block is found after many commits, in at most 64 loose packs and 4 runs", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const published: Block[] = [];
    let runs = 0;
    for (let commit = 0; commit < 5 * MAX_LOOSE_PACKS; commit++) {
      const blocks = Array.from({ length: 3 }, (_, index) => raw(`block ${index} of ${commit}`));
      published.push(...blocks);
      await publish(remote, `commit ${commit}`, blocks, []);
      runs += take().names.filter((name) => name.startsWith(RUN_FOLDER)).length;
    }
    const { manifest } = await new PackDirectory(store).commitObject((await rootOf(remote)).commit);
    console.log(`320 commits: ${runs} runs made, ${manifest.runs.length} in use, ${manifest.loose.length} loose packs`);
    expect(runs).toBe(4);
    expect(manifest.loose.length).toBeLessThanOrEqual(MAX_LOOSE_PACKS);
    expect(manifest.runs.length).toBeLessThanOrEqual(MAX_RUNS);
    const read = await agent(store).blocks.getMany(published.map(({ cid }) => cid));
    expect(read.size).toBe(published.length);
  });

  test("an import of more packs than a manifest lists goes straight into a run", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    for (let commit = 0; commit < MAX_LOOSE_PACKS - 1; commit++) await publish(remote, `${commit}`, [], []);
    const large = many("large", 20);
    await publish(remote, "import", large, []);
    const { manifest } = await new PackDirectory(store).commitObject((await rootOf(remote)).commit);
    expect(manifest).toMatchObject({ loose: [], runs: [expect.objectContaining({ rows: 80 })] });
    expect((await agent(store).blocks.getMany(large.map(({ cid }) => cid))).size).toBe(20);
  });
});

describe("uploads", () => {
  test("of nodes only keep no commit object in memory once it is in a run", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const roots: Root[] = [];
    for (let edit = 0; edit < 3 * MAX_LOOSE_PACKS; edit++)
      roots.push(await publish(remote, `edit ${edit}`, [], [node(`leaf ${edit}`)]));
    await using session = remote.beginUpload();
    const reads: number[] = [];
    for (const root of [roots.at(-1), roots.at(-2), ...roots.slice(0, 3)]) {
      take();
      if (root !== undefined) await session.prepare(root, upload(`on root ${root.version}`));
      reads.push(take().reads);
    }
    expect(reads).toEqual([0, 0, 1, 1, 1]);
  });

  test("keep nothing that was sent: memory does not grow with the upload", async () => {
    const memory = new MemoryObjectStore();
    const remote = await made(async () => agent(forgetfulOfPacks(memory)));
    await using session = remote.beginUpload();
    const before = heldBytes();
    for (let index = 0; index < 160; index++) await session.putContent(randomLooking(`content ${index}`, 1024 * KiB));
    await vi.waitFor(() => expect(heldBytes() - before).toBeLessThan(80 * 1024 * KiB), 10_000);
  });

  test("content sent ahead in packs is under a lease until a manifest lists it", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const session = remote.beginUpload();
    for (const block of many("x", 20)) await session.putContent(block);
    const prepared = await session.prepare(await rootOf(remote), upload("two"));
    expect(await namesOf(store, "lease/")).toHaveLength(1);
    await prepared.swap();
    await session[Symbol.asyncDispose]();
    expect(await namesOf(store, "lease/")).toEqual([]);
    expect(await namesOf(store, PACK_FOLDER)).toHaveLength(1);
  });

  test("a lease is removed at the end of a session, even if a pack could not be stored", async () => {
    const { store, interceptPut } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const session = remote.beginUpload();
    for (const block of many("x", 20)) await session.putContent(block);
    await session.prepare(await rootOf(remote), upload("two"));
    interceptPut(PACK_FOLDER, async () => ({ kind: "refused" }));
    for (const block of many("y", 20)) await session.putContent(block).catch(() => {});
    await expect(session.prepare(await rootOf(remote), upload("three"))).rejects.toMatchObject({
      code: "store_unreachable",
    });
    expect(await namesOf(store, "lease/")).toHaveLength(1);
    await session[Symbol.asyncDispose]();
    expect(await namesOf(store, "lease/")).toEqual([]);
  });

  test("a lease and a base under the writer's own name that are too large to read are replaced", async () => {
    const store = new MemoryObjectStore();
    const remote = await made(async () => agent(store));
    const writer = agents.toString(16).padStart(32, "0");
    for (const folder of ["lease/", "bases/"]) await store.putNew(folder + writer, [new Uint8Array(5_000_000)]);
    await remote.holdBases([await rootOf(remote)]);
    await using session = remote.beginUpload();
    for (const block of many("x", 20)) await session.putContent(block);
    await session.prepare(await rootOf(remote), upload("two"));
    for (const folder of ["lease/", "bases/"]) expect((await store.head(folder + writer))?.size).toBeLessThan(5_000);
  });

  test("an upload of several hours renews its lease", async () => {
    const { store, take } = countedStore(new MemoryObjectStore());
    const clock = new ManualClock();
    const writer = "cd".repeat(16) as WriterId;
    const remote = await made(
      async () => new PackedRemote(store, { clock, random: seededRandom(99), writer: () => writer }),
    );
    const session = remote.beginUpload();
    for (const block of many("x", 20)) await session.putContent(block);
    await session.prepare(await rootOf(remote), upload("two"));
    take();
    await clock.advance(2 * 3_600_000);
    for (const block of many("y", 20)) await session.putContent(block);
    await session[Symbol.asyncDispose]();
    expect(take().names.filter((name) => name.startsWith("lease/"))).toHaveLength(1);
  });

  test("blocks of an attempt that lost the swap are not sent again when there are many", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const [mine, theirs] = [await made(async () => agent(store)), agent(store)];
    await using session = mine.beginUpload();
    const content = Array.from({ length: 30 }, (_, index) => randomLooking(`${index}`, 100 * KiB));
    for (const block of content) await session.putContent(block);
    const lost = await session.prepare(await rootOf(mine), upload("lost"));
    const moved = await publish(theirs, "theirs", [], []);
    expect((await lost.swap()).kind).toBe("conflict");
    const again = await session.prepare(moved, upload("again"));
    expect(again.uploaded.bytes).toBeLessThan(10 * KiB);
    expect((await again.swap()).kind).toBe("committed");
    expect((await agent(store).blocks.getMany(content.map(({ cid }) => cid))).size).toBe(30);
  });

  test("a commit prepared before a crash can be prepared again", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const root = await rootOf(remote);
    const attempt = async () => {
      const session = remote.beginUpload();
      await session.putContent(raw("content"));
      return session.prepare(root, upload("two"));
    };
    await attempt();
    expect(await (await attempt()).swap()).toMatchObject({ kind: "committed" });
    expect((await agent(store).blocks.get(raw("content").cid)).length).toBe(7);
  });

  test("an object with the commit's name but other contents is never taken for it", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    await (
      await remote.beginUpload().prepare(await rootOf(remote), upload("two"))
    ).commit;
    await using session = remote.beginUpload();
    await session.putContent(raw("content that the first did not have"));
    const again = session.prepare(await rootOf(remote), upload("two"));
    await expect(again).rejects.toMatchObject({ code: "root_moved" });
  });

  test("a block that a collection dropped meanwhile makes the upload start over", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const old = await rootOf(remote);
    await publish(remote, "two", many("old", 20), []);
    await using session = remote.beginUpload();
    for (const block of many("old", 20)) await session.putContent(block);
    // The first root does not map the block: as after a collection.
    await expect(session.prepare(old, upload("three"))).rejects.toMatchObject({ code: "root_moved" });
  });

  test("a pack that could not be stored is sent with the next attempt", async () => {
    const { store, interceptPut } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    await using session = remote.beginUpload();
    interceptPut(PACK_FOLDER, async () => {
      throw new RangeError("the cable is out");
    });
    const content = many("x", 20);
    for (const block of content) await session.putContent(block);
    const root = await rootOf(remote);
    await expect(session.prepare(root, upload("two"))).rejects.toThrow("the cable is out");
    expect(await (await session.prepare(root, upload("two"))).swap()).toMatchObject({ kind: "committed" });
    expect((await agent(store).blocks.getMany(content.map(({ cid }) => cid))).size).toBe(20);
  });

  test("a swap that took effect with an unknown outcome is a conflict with itself when sent again", async () => {
    const { store, interceptPut } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const prepared = await remote.beginUpload().prepare(await rootOf(remote), upload("two"));
    interceptPut("root", async (put) => {
      await put();
      return { kind: "unknown", cause: "the reply was lost" };
    });
    expect(await prepared.swap()).toEqual({ kind: "unknown", cause: "the reply was lost" });
    expect(await prepared.swap()).toMatchObject({ kind: "conflict", current: { commit: prepared.commit } });
  });

  test("a bucket opened without a writer cannot send packs ahead", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    await made(async () => agent(store));
    const remote = new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(1) });
    await expect(publish(remote, "two", many("x", 20), [])).rejects.toMatchObject({ code: "not_supported" });
  });
});

describe("damage", () => {
  test("while a bucket's disk is not mounted, its blocks are unreachable, even to a reader that has seen no root", async () => {
    const reader = agent(new MemoryObjectStore());
    await expect(reader.blocks.get(raw("file").cid)).rejects.toMatchObject({ code: "store_unreachable" });
  });

  test("the error for a block whose pack is gone names both", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const [block = raw("x"), ...others] = many("x", 17);
    await publish(await made(async () => agent(store)), "two", [block, ...others], []);
    const [pack] = await namesOf(store, PACK_FOLDER);
    const reader = agent(store);
    await reader.blocks.get(block.cid);
    await store.delete(pack ?? "");
    await expect(reader.blocks.get(block.cid)).rejects.toMatchObject({
      code: "block_not_found",
      message: expect.stringMatching(new RegExp(`${block.cid}.*${pack}`)),
    });
  });

  test("one damaged footer leaves the blocks of other packs readable", async () => {
    const inner = new MemoryObjectStore();
    const remote = await made(async () => agent(inner));
    const { commit } = await publish(remote, "two", [raw("hit")], []);
    await publish(remote, "three", [raw("spared")], []);
    await overwrite(inner, commitObjectName(commit), (bytes) => bytes.with(bytes.length - 60, 0xff));
    const reader = agent(inner);
    expect(Buffer.from(await reader.blocks.get(raw("spared").cid)).toString()).toBe("spared");
    await expect(reader.blocks.get(raw("hit").cid)).rejects.toMatchObject({
      code: "block_not_found",
      message: expect.stringContaining(commitObjectName(commit)),
    });
  });

  test("a damaged pack or run does not stop publishing, even when loose packs become a run", async () => {
    const inner = new MemoryObjectStore();
    const remote = await made(async () => agent(inner));
    const { commit } = await publish(remote, "hit", [raw("hit")], []);
    for (let index = 0; index < MAX_LOOSE_PACKS; index++) await publish(remote, `a${index}`, [raw(`a${index}`)], []);
    const [run = ""] = await namesOf(inner, RUN_FOLDER);
    await overwrite(inner, run, (bytes) => bytes.with(40, (bytes[40] ?? 0) ^ 1));
    await overwrite(inner, commitObjectName(commit), (bytes) => bytes.with(bytes.length - 60, 0xff));
    const other = agent(inner);
    for (let index = 0; index < 6 * MAX_LOOSE_PACKS; index++) await publish(other, `b${index}`, [raw(`b${index}`)], []);
    const reader = agent(inner);
    for (let index = 0; index < 6 * MAX_LOOSE_PACKS; index += 7) {
      expect((await reader.blocks.get(raw(`b${index}`).cid)).length).toBeGreaterThan(0);
    }
  });

  test("an old root put back hides no block published after it", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    const before = (await store.get("root"))?.bytes ?? new Uint8Array();
    await publish(remote, "two", [raw("later")], []);
    const reader = agent(store);
    await reader.readRoot();
    await overwrite(store, "root", () => before);
    expect((await reader.readRoot())?.version).toBe(1);
    expect((await reader.blocks.get(raw("later").cid)).length).toBe(5);
  });

  test("a root that has disappeared means that the bucket cannot be reached", async () => {
    const { store } = countedStore(new MemoryObjectStore());
    const remote = await made(async () => agent(store));
    await store.delete("root");
    await expect(remote.readRoot()).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });
});

async function overwrite(store: ObjectStore, name: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const { bytes = new Uint8Array(), token = "" } = (await store.get(name)) ?? {};
  expect((await store.putIfMatch(name, [change(bytes)], token)).kind).toBe("stored");
}

async function namesOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(prefix)) names.push(name);
  return names;
}

/** Blocks of 1 MiB each. */
function many(label: string, count: number): Block[] {
  return Array.from({ length: count }, (_, index) => randomLooking(`${label} ${index}`, 1024 * KiB));
}

function asNode({ bytes }: Block): Block {
  return { cid: cidOf("dag-cbor", bytes), bytes };
}

/** Takes packs and keeps only that they are there. */
function forgetfulOfPacks(inner: ObjectStore): ObjectStore {
  return new Proxy(inner, {
    get(target, property) {
      if (property !== "putNew") {
        const value: unknown = Reflect.get(target, property);
        return typeof value === "function" ? value.bind(target) : value;
      }
      const putNew: ObjectStore["putNew"] = async (name, body, options) => {
        if (!name.startsWith(PACK_FOLDER)) return target.putNew(name, body, options);
        let bytes = 0;
        for await (const chunk of body) bytes += chunk.length;
        return { kind: "stored", token: `${bytes}` };
      };
      return putNew;
    },
  });
}

/** Bytes of buffers that are alive. */
function heldBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().arrayBuffers;
}
