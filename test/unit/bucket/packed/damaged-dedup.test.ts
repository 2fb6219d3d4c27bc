/** Content that the bucket holds already, damaged, and that the same epoch edits: nothing new is made of damaged bytes. */
import { describe, expect, test } from "vitest";
import { RetryReader } from "../../../../src/blocks/retry-reader.ts";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { Staging } from "../../../../src/bucket/publish/staging.ts";
import { ChunkCache } from "../../../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../../../src/content/config.ts";
import { editContent } from "../../../../src/content/edit.ts";
import { writeContent } from "../../../../src/content/write.ts";
import type { Cid, PackName, WriterId } from "../../../../src/base/ids.ts";
import { MAX_LOOSE_PACKS } from "../../../../src/base/limits.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { PACK_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, publish, randomLooking, rootOf, upload } from "../../../support/opaque-commits.ts";

const MiB = 1024 * 1024;
const config = createContentConfig();
const pieces = Array.from({ length: 40 }, (_, index) => randomLooking(`piece ${index}`, MiB).bytes);
const size = pieces.length * MiB;
/** Enough to look up what was put before. */
const randomPieces = pieces.slice(0, 16).map((bytes) => ({ cid: cidOf("raw", bytes), bytes }));
let agents = 0;

function agent(store: ObjectStore, inlineBytes?: number, onDoubt?: (pack: PackName) => void): PackedRemote {
  const writer = (++agents).toString(16).padStart(32, "0") as WriterId;
  const ports = { clock: new ManualClock(), random: seededRandom(agents), writer: () => writer, onDoubt };
  return new PackedRemote(store, { ...ports, ...(inlineBytes !== undefined && { inlineBytes }) });
}

function readerOf(remote: PackedRemote): RetryReader {
  return new RetryReader(new VerifiedReader(remote.blocks), {
    clock: new ManualClock(),
    random: seededRandom(1),
    forget: () => remote.forgetPlacement(),
    doubt: (cids) => remote.doubt(cids),
  });
}

function staged(remote: PackedRemote, session: ReturnType<PackedRemote["beginUpload"]>): Staging {
  return new Staging(new VerifiedReader(remote.blocks), session);
}

async function packsOf(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(PACK_FOLDER)) names.push(name);
  expect(names).not.toEqual([]);
  return names;
}

async function deleteAll(store: ObjectStore): Promise<void> {
  for (const name of await packsOf(store)) await store.delete(name);
}

async function damageAll(store: ObjectStore): Promise<void> {
  for (const name of await packsOf(store)) {
    const bytes = Buffer.from((await store.get(name))?.bytes ?? []);
    for (let at = 1_000; at < bytes.length - 60_000; at += 4_096) bytes[at] = (bytes[at] ?? 0) ^ 1;
    await store.delete(name);
    await store.putNew(name, [bytes]);
  }
}

test("an upload fails when it edits content that it deduplicated against damaged blocks", async () => {
  const store = new MemoryObjectStore();
  const first = await made(async () => agent(store));
  {
    await using session = first.beginUpload();
    await writeContent(staged(first, session), config, { size, stretches: pieces });
    const prepared = await session.prepare(await rootOf(first), upload("import"));
    expect((await prepared.swap()).kind).toBe("committed");
  }
  await damageAll(store);
  const second = agent(store);
  await using session = second.beginUpload();
  const staging = staged(second, session);
  const content = await writeContent(staging, config, { size, stretches: pieces });
  const at = 5 * MiB;
  const segments = [
    { offset: 0, length: at, from: "base" as const, epoch: 0 },
    { offset: at, length: 1, from: "data" as const, epoch: 1 },
    { offset: at + 1, length: size - at - 1, from: "base" as const, epoch: 0 },
  ];
  const source = new ChunkCache(staging, { capacityBytes: 8 * MiB });
  const edited = editContent(source, staging, config, content, size, segments, size, async () => Uint8Array.of(0));
  await expect(edited).rejects.toMatchObject({ code: "block_corrupt" });
});

describe.each([
  { what: "damaged", harm: damageAll, code: "block_corrupt" },
  { what: "gone", harm: deleteAll, code: "block_not_found" },
])("content whose pack is $what", ({ harm, code }) => {
  const content = Array.from({ length: 8 }, (_, index) => randomLooking(`chunk ${index}`, 64 * 1024));
  const cids = content.map(({ cid }) => cid);
  const third = content[2]?.cid as Cid;

  /** A damaged store, and a remote that found the damage when it read a block. */
  async function harmed() {
    const store = new MemoryObjectStore();
    await publish(await made(async () => agent(store, 0)), "two", content, []);
    const remote = agent(store, 0);
    const blocks = readerOf(remote);
    expect((await blocks.getMany(cids)).size).toBe(cids.length);
    await harm(store);
    await expect(blocks.get(third)).rejects.toMatchObject({ code });
    return { store, remote, blocks };
  }

  test("is stored again when it is written again", async () => {
    const { store, remote, blocks } = await harmed();
    await publish(remote, "three", content, []);
    expect((await readerOf(agent(store)).getMany(cids)).size).toBe(cids.length);
    expect((await blocks.getMany(cids)).size).toBe(cids.length);
  });

  test("is stored again by the publishing thread if the reading thread found the damage", async () => {
    const store = new MemoryObjectStore();
    await publish(await made(async () => agent(store, 0)), "two", content, []);
    const publisher = agent(store, 0);
    const blocks = readerOf(agent(store, 0, (pack) => publisher.doubtPack(pack)));
    expect((await blocks.getMany(cids)).size).toBe(cids.length);
    await harm(store);
    await expect(blocks.get(third)).rejects.toMatchObject({ code });
    await publish(publisher, "three", content, []);
    expect((await readerOf(agent(store)).getMany(cids)).size).toBe(cids.length);
  });

  test("begins an upload anew that had taken it for stored", async () => {
    const store = new MemoryObjectStore();
    await publish(await made(async () => agent(store, 0)), "two", content, []);
    const remote = agent(store, 0);
    await using session = remote.beginUpload();
    for (const block of [...content, ...randomPieces]) await session.putContent(block);
    await harm(store);
    await expect(readerOf(remote).get(third)).rejects.toMatchObject({ code });
    const prepared = session.prepare(await rootOf(remote), upload("three"));
    await expect(prepared).rejects.toMatchObject({ code: "root_moved" });
  });

  test("is stored again only once", async () => {
    const { store, remote } = await harmed();
    await publish(remote, "three", content, []);
    const before = await packsOf(store);
    await publish(remote, "four", content, []);
    expect(await packsOf(store)).toEqual(before);
  });

  test("stays readable when a run takes in both of its packs", async () => {
    const { store, remote } = await harmed();
    await publish(remote, "three", content, []);
    for (let index = 0; index < MAX_LOOSE_PACKS; index++) await publish(remote, `more ${index}`, [], []);
    const fresh = agent(store);
    expect((await readerOf(fresh).getMany(cids)).size).toBe(cids.length);
  });
});
