/** Buckets in an object store, from files down to objects: what writing costs, and how damage is found and healed. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { WriterId } from "../../../../src/base/ids.ts";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { auditObjects } from "../../../../src/bucket/packed/object-audit.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import type { PublishFigures } from "../../../../src/bucket/publish/outcome.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { openWriter } from "../../../../src/bucket/writer.ts";
import type { BucketWriter } from "../../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { noise } from "../../../support/bytes.ts";
import { countedStore } from "../../../support/counted-store.ts";
import { name } from "../../../support/epochs.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { createBucket, newWriter, pathsOf } from "../../../support/test-bucket.ts";

const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0 };
let agents = 0;

/** One agent's view of the store, with a device of its own. */
async function agent(store: ObjectStore) {
  const seed = 50 + ++agents;
  const opened = new PackedRemote(store, { clock: systemClock, random: seededRandom(seed) });
  const bucket = await Bucket.open(opened, { blocks: new VerifiedReader(opened.blocks) });
  const { writer } = await newWriter(bucket, seed);
  const remote = new PackedRemote(store, {
    clock: systemClock,
    random: seededRandom(seed),
    writer: () => writer.device.writer,
  });
  const context = {
    ...(await newWriter(bucket, seed)),
    bucket: await Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) }),
  };
  let epoch = 0;
  const edit = async (work: (writer: BucketWriter) => Promise<unknown>): Promise<PublishFigures> => {
    await using session = await openWriter(context, ++epoch);
    await work(session);
    const outcome = await session.publish();
    expect(outcome.kind).toBe("published");
    return outcome.figures;
  };
  return { remote, bucket: context.bucket, edit };
}

async function emptyStore(): Promise<MemoryObjectStore> {
  const store = new MemoryObjectStore();
  const writer = "ab".repeat(16) as WriterId;
  await createBucket(new PackedRemote(store, { clock: systemClock, random: seededRandom(1), writer: () => writer }));
  return store;
}

const file = (index: number) => [name(`d${index % 20}`), name(`file ${index}`)];

async function left(store: ObjectStore, folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const object of store.list(folder)) names.push(object.name);
  return names;
}

async function putMany(writer: BucketWriter, count: number, bytes: number): Promise<void> {
  for (let index = 0; index < count; index++)
    await writer.putFile(file(index), sourceOfBytes(noise(bytes, index + 1)), ATTRIBUTES);
}

describe("the cost of writing", () => {
  test("2,000 small files of 53.5 MB take at most 8 puts, and one edit after that takes two", async () => {
    const { store, take } = countedStore(await emptyStore());
    const { edit, bucket, remote } = await agent(store);
    take();
    const imported = await edit((writer) => putMany(writer, 2_000, 26_750));
    const first = take();
    expect(first.puts).toBeLessThanOrEqual(8);
    expect(first.names.some((put) => put.startsWith("lease/"))).toBe(true);
    expect(await left(store, "lease/")).toEqual([]);
    const edited = await edit((writer) => writer.putFile(file(7), sourceOfBytes(noise(1_000, 9)), ATTRIBUTES));
    const second = take();
    console.log(`2,000 files: ${first.puts} puts, ${imported.uploadedBlocks} blocks, ${first.bytesPut} bytes`);
    console.log(
      `one edit: ${second.puts} puts, ${edited.uploadedBlocks} blocks, ${edited.blocksRead} read, ${second.bytesPut} bytes`,
    );
    expect(second.puts).toBe(2);
    expect(edited.uploadedBlocks).toBeLessThanOrEqual(8);
    expect(second.bytesPut).toBeLessThan(100_000);
    expect((await verify(bucket, remote)).damage).toEqual([]);
  });

  test("agents that share a store but no memory see one another's files", async () => {
    const store = await emptyStore();
    const [one, two] = [await agent(store), await agent(store)];
    await one.edit((writer) => writer.putFile([name("a")], sourceOfBytes(Buffer.from("1")), ATTRIBUTES));
    await two.edit((writer) => writer.putFile([name("b")], sourceOfBytes(Buffer.from("2")), ATTRIBUTES));
    await one.edit((writer) => writer.putFile([name("c")], sourceOfBytes(Buffer.from("3")), ATTRIBUTES));
    const tree = (await two.bucket.current())?.commit.body.tree;
    if (tree === undefined) throw new Error("the bucket has no root");
    expect(await pathsOf(two.bucket, tree)).toEqual({ a: "1", b: "2", c: "3" });
  });
});

describe("a flipped bit in a pack", () => {
  test("is reported with path and object, and repaired from a copy", async () => {
    const store = await emptyStore();
    const { edit, bucket, remote } = await agent(store);
    await edit((writer) => putMany(writer, 30, 10_000));
    const local = new BlockMap();
    const bytes = noise(10_000, 8);
    const cid = cidOf("raw", bytes);
    local.put({ cid, bytes });
    const object = await flipByteOf(store, bytes);

    const fresh = await agent(store);
    const { damage, lost: found } = await verify(fresh.bucket, fresh.remote);
    expect(found).toEqual([cid]);
    expect(damage).toMatchObject([{ path: "/d7/file 7", cid, object }]);
    const { repaired } = await repairObjects(remote, { random: seededRandom(9), local, wanted: found });
    expect(repaired).toMatchObject([{ object }]);
    expect((await verify(bucket, remote)).damage).toEqual([]);
  });
});

function verify(bucket: Bucket, remote: PackedRemote) {
  const audit = (blocks: boolean) => auditObjects(remote, { blocks });
  return verifyBucket(bucket, { blocks: remote.blocks, audit });
}

/** Changes one byte of the object that holds these bytes; answers its name. */
async function flipByteOf(store: ObjectStore, bytes: Uint8Array): Promise<string> {
  for await (const { name: object } of store.list("")) {
    const found = await store.get(object);
    const at = found === undefined ? -1 : Buffer.from(found.bytes).indexOf(bytes);
    if (found === undefined || at < 0) continue;
    const damaged = Uint8Array.from(found.bytes);
    damaged[at + 100] = (damaged[at + 100] ?? 0) ^ 1;
    await store.putIfMatch(object, [damaged], found.token);
    return object;
  }
  throw new Error("no object holds these bytes");
}
