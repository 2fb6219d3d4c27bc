/** An audit and a repair of a bucket in a folder whose disk cannot read some sectors. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Cid, WriterId } from "../../../../src/base/ids.ts";
import { COMMIT_INLINE_BYTES } from "../../../../src/base/limits.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { auditObjects } from "../../../../src/bucket/packed/object-audit.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { putRootBack } from "../../../../src/bucket/packed/root-return.ts";
import { searchRoot } from "../../../../src/bucket/packed/root-search.ts";
import { COMMIT_FOLDER, GENESIS_OBJECT, PACK_FOLDER, ROOT_OBJECT } from "../../../../src/format/blocks/object-name.ts";
import { type Disk, systemDisk } from "../../../../src/objects/disk.ts";
import { FileObjectStore } from "../../../../src/objects/file-object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { made, node, publish, randomLooking, upload } from "../../../support/opaque-commits.ts";
import { createBucket } from "../../../support/test-bucket.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { systemError } from "../../../support/watched-disk.ts";

const KiB = 1024;
const PAGE = 4 * KiB;
const UNREAD = "has bytes that the disk cannot read";
const WRITER = "0".repeat(32) as WriterId;

/** A folder for a bucket, on a disk that can lose sectors. */
async function folder() {
  const path = join(await temporaryFolder(), "bucket");
  /** By file: where the bad sector is. A file that is replaced gets other sectors. */
  const bad = new Map<string, { readonly ino: number; readonly at: number }>();
  const disk: Disk = {
    ...systemDisk,
    // Reads go through `open`.
    readNow: () => undefined,
    async open(where, flags) {
      const file = await systemDisk.open(where, flags);
      const sector = bad.get(String(where));
      if (sector === undefined || (await file.stat()).ino !== sector.ino) return file;
      const read = file.read.bind(file) as (
        ...args: [Buffer, number, number, number]
      ) => Promise<{ bytesRead: number }>;
      const failing = async (bytes: Buffer, into: number, length: number, from: number) => {
        const page = sector.at - (sector.at % PAGE);
        if (from < page + PAGE && page < from + length) throw systemError("EIO");
        return read(bytes, into, length, from);
      };
      return Object.assign(file, { read: failing });
    },
  };
  const store = new FileObjectStore({
    path,
    address: `file://${path}`,
    clock: systemClock,
    random: systemRandom,
    disk,
  });
  const lose = async (name: string, at: (size: number) => number) => {
    const { ino, size } = await systemDisk.stat(join(path, name));
    bad.set(join(path, name), { ino, at: at(size) });
  };
  return { store, lose };
}

const ports = { clock: systemClock, random: seededRandom(1) };

/** A bucket with a content pack of 40 blocks and three commit objects. */
async function bucket(inlineBytes = COMMIT_INLINE_BYTES) {
  const { store, lose: loseSector } = await folder();
  const remote = await made(async () => new PackedRemote(store, { ...ports, writer: () => WRITER, inlineBytes }));
  const large = Array.from({ length: 40 }, (_, index) => randomLooking(`large ${index}`, 210 * KiB + index));
  const nodes = [node("leaf"), node("inner")];
  await publish(remote, "two", large, nodes);
  await publish(remote, "three", [], []);
  const commits = ["one", "two", "three"].map((name) => upload(name).commit);
  const lose = async (...where: Parameters<typeof loseSector>) => {
    await loseSector(...where);
    remote.forgetPlacement();
  };
  return { store, remote, blocks: [...large, ...nodes, ...commits], lose };
}

async function namesOf(store: FileObjectStore, folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(folder)) names.push(name);
  return names;
}

/** The blocks that cannot be read intact. */
async function unreadable(remote: PackedRemote, blocks: readonly Block[]): Promise<Cid[]> {
  remote.forgetPlacement();
  const lost: Cid[] = [];
  for (const { cid, bytes } of blocks) {
    const found = await remote.blocks.get(cid).catch(() => new Uint8Array());
    if (Buffer.compare(found, bytes) !== 0) lost.push(cid);
  }
  return lost;
}

function cacheOf(blocks: readonly Block[]): BlockMap {
  const cache = new BlockMap();
  for (const block of blocks) cache.put(block);
  return cache;
}

const random = seededRandom(7);

describe("a bad sector", () => {
  test.each([
    ["a pack of contents", PACK_FOLDER, 0],
    ["the newest commit object", COMMIT_FOLDER, COMMIT_INLINE_BYTES],
  ])("in %s costs the block that lies there, not its neighbors", async (_, folder, inlineBytes) => {
    const { store, remote, blocks, lose } = await bucket(inlineBytes);
    const before = await namesOf(store, folder);
    const small = Array.from({ length: 3 }, (_, at) => randomLooking(`small ${at}`, 12 * KiB));
    await publish(remote, "four", small, [node("fourth")]);
    const name = (await namesOf(store, folder)).find((each) => !before.includes(each)) ?? "";
    await lose(name, () => 18 * KiB);
    const rest = [...blocks, ...small.filter((_, at) => at !== 1), node("fourth")];
    expect(await unreadable(remote, [...rest, ...small])).toEqual([small[1]?.cid]);
    remote.forgetPlacement();
    const found = await remote.blocks.getMany(rest.map(({ cid }) => cid));
    expect(rest.filter(({ cid, bytes }) => Buffer.compare(found.get(cid) ?? Buffer.alloc(0), bytes) !== 0)).toEqual([]);
    const all = remote.blocks.getMany(small.map(({ cid }) => cid));
    await expect(all).rejects.toMatchObject({
      code: "block_corrupt",
      message: expect.stringContaining(small[1]?.cid ?? ""),
    });
  });

  test("is a finding of an audit, which names the object and the block that lies there", async () => {
    const { store, remote, lose } = await bucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    await lose(pack, () => 1_000_000);
    const { damage } = await auditObjects(remote);
    expect(damage.map(({ object, what, cid }) => [object, what === UNREAD, cid !== undefined])).toEqual([
      [pack, true, false],
      [pack, false, true],
    ]);
  });

  test.each([
    ["in a block", () => 1_000_000],
    ["in the footer", (size: number) => size - 100],
  ])("%s of a pack is repaired from a cache", async (_, at) => {
    const { store, remote, blocks, lose } = await bucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    await lose(pack, at);
    const wanted = await unreadable(remote, blocks);
    const { damage, repaired } = await repairObjects(remote, { random, local: cacheOf(blocks), wanted });
    expect(damage).toEqual([]);
    expect(repaired).not.toEqual([]);
    expect(await unreadable(remote, blocks)).toEqual([]);
  });

  test("of any commit object is repaired from a cache", async () => {
    const { store, remote, blocks, lose } = await bucket();
    for (const name of await namesOf(store, COMMIT_FOLDER)) {
      await lose(name, () => 0);
      const wanted = await unreadable(remote, blocks);
      const { damage } = await repairObjects(remote, { random, local: cacheOf(blocks), wanted });
      expect(damage).toEqual([]);
      expect(await unreadable(remote, blocks)).toEqual([]);
    }
  });

  test("in a block without a copy leaves the pack as it is, since the disk may read it another day", async () => {
    const { store, remote, blocks, lose } = await bucket();
    const [pack = ""] = await namesOf(store, PACK_FOLDER);
    const before = (await store.get(pack))?.token;
    await lose(pack, () => 1_000_000);
    const { damage } = await repairObjects(remote, { random });
    expect(damage.map(({ what }) => what)).toContain(UNREAD);
    const [lost] = damage.flatMap(({ cid }) => cid ?? []);
    await lose(pack, () => Infinity);
    expect((await store.get(pack))?.token).toBe(before);
    expect(blocks.length).toBeGreaterThan(40);
    expect(lost).toBeDefined();
  });

  test("in the genesis hides no bucket, and is repaired", async () => {
    const { store, lose } = await folder();
    await createBucket(new PackedRemote(store, ports));
    const before = await store.get(GENESIS_OBJECT);
    await lose(GENESIS_OBJECT, () => 0);
    const remote = new PackedRemote(store, ports);
    expect(Buffer.from(await remote.readGenesis())).toEqual(before?.bytes);
    expect((await repairObjects(remote, { random })).damage).toEqual([]);
    expect(await store.get(GENESIS_OBJECT)).toEqual(before);
  });

  test("in the root is damage, and the root is found and put back", async () => {
    const { store, lose } = await folder();
    await createBucket(new PackedRemote(store, ports));
    const read = () => new PackedRemote(store, ports).readRoot();
    const root = (await read())?.commit;
    await lose(ROOT_OBJECT, () => 0);
    await expect(read()).rejects.toMatchObject({ code: "block_corrupt" });
    const search = await searchRoot(store, ports);
    expect(search?.newest?.commit.cid).toBe(root);
    if (search?.newest !== undefined) await putRootBack(store, search, search.newest.commit);
    expect((await read())?.commit).toBe(root);
  });
});
