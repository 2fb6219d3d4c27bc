/** The object `genesis` damaged, missing or another bucket's: opening, auditing and repairing the bucket. */
import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { auditObjects } from "../../../../src/bucket/packed/object-audit.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { decodeCbor, encodeCbor } from "../../../../src/format/blocks/dag-cbor.ts";
import { decodeCommit, signCommit } from "../../../../src/format/commits/commit.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { S3BucketStore } from "../../../../src/objects/s3/s3-bucket-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { S3Script } from "../../../support/s3-script.ts";
import { createBucket, newWriter, openBucket } from "../../../support/test-bucket.ts";
import { dropKept } from "../../../support/thinning.ts";

/** A prime: in the long run it is every bit. */
const STRIDE = process.env["SYNCLINE_TEST_ALL"] === undefined ? 131 : 1;
const random = seededRandom(7);

function remoteOf(store: ObjectStore): PackedRemote {
  return new PackedRemote(store, { clock: systemClock, random: seededRandom(1) });
}

/** A bucket with two commits. */
async function fill(store: ObjectStore, seed = 1): Promise<Bucket> {
  const bucket = await createBucket(remoteOf(store), seed);
  await dropKept(await newWriter(bucket, seed + 20), []);
  return bucket;
}

async function bytesOf(store: ObjectStore, name = "genesis"): Promise<Buffer> {
  return Buffer.from((await store.get(name))?.bytes ?? []);
}

async function replace(store: ObjectStore, bytes: Uint8Array): Promise<void> {
  await store.delete("genesis");
  await store.putNew("genesis", [bytes]);
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const at = Math.floor(bit / 8);
  return bytes.with(at, (bytes[at] ?? 0) ^ (1 << (bit % 8)));
}

async function contents(store: ObjectStore): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name } of store.list("")) found.set(name, (await store.get(name))?.token ?? "");
  return found;
}

/** The commit objects with these bytes. */
async function holdersOf(store: ObjectStore, bytes: Buffer): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list("commit/"))
    if ((await bytesOf(store, name)).includes(bytes)) found.push(name);
  return found;
}

type Harm = (store: ObjectStore, intact: Buffer) => Promise<void>;

const HARMS: readonly (readonly [string, Harm, RegExp])[] = [
  ["has a flipped bit in its version", (store, intact) => replace(store, flippedIn(intact, "version", 1)), /damaged/],
  ["has a flipped bit in its salt", (store, intact) => replace(store, flippedIn(intact, "salt", 9)), /damaged/],
  ["is cut", (store, intact) => replace(store, intact.subarray(0, 100)), /damaged/],
  ["is empty", (store) => replace(store, new Uint8Array()), /damaged/],
  ["is far too large", (store) => replace(store, new Uint8Array(5_000)), /more than/],
  ["is missing", (store) => store.delete("genesis"), /missing/],
];

/** A bit of the value that follows this field's name. */
function flippedIn(bytes: Buffer, field: string, distance: number): Uint8Array {
  return flipped(bytes, 8 * (bytes.indexOf(field) + field.length + distance - 1) + 1);
}

const FORMS = [
  {
    form: "replaced",
    begin: async () => ({ store: new MemoryObjectStore() as ObjectStore, [Symbol.asyncDispose]: async () => {} }),
  },
  {
    form: "numbered",
    begin: async () => {
      const server = await S3Script.start();
      const common = { clock: systemClock, chooseForm: async () => "numbered" as const, checkForm: async () => {} };
      const store: ObjectStore = new S3BucketStore({ ...common, store: server.store() });
      return { store, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
    },
  },
];

describe.each(FORMS)("where roots are $form", ({ begin }) => {
  test.each(HARMS)(
    "a genesis that %s is named by the audit, and put back without touching anything else",
    async (...harm) => {
      await using world = await begin();
      const { store } = world;
      const { genesis } = await fill(store);
      const intact = await bytesOf(store);
      const before = await contents(store);
      await harm[1](store, intact);

      const opened = await openBucket(remoteOf(store));
      expect(opened.genesis.cid).toBe(genesis.cid);
      expect((await opened.head()).commit.body.seq).toBe(2);
      const { damage } = await auditObjects(remoteOf(store));
      expect(damage).toEqual([{ object: "genesis", cid: undefined, what: expect.stringMatching(harm[2]) }]);

      const { repaired, damage: left } = await repairObjects(remoteOf(store), { random });
      expect(repaired.map(({ object }) => object)).toEqual(["genesis"]);
      expect(left).toEqual([]);
      expect(Buffer.compare(await bytesOf(store), intact)).toBe(0);
      const after = await contents(store);
      // The token of an object follows from its bytes, or changes with each write.
      const others = (objects: Map<string, string>) => [...objects].filter(([name]) => name !== "genesis").sort();
      expect(others(after)).toEqual(others(before));

      expect(await repairObjects(remoteOf(store), { random })).toEqual({ repaired: [], damage: [] });
      expect(await contents(store)).toEqual(after);
    },
  );
});

describe("the genesis object", () => {
  let store: MemoryObjectStore;
  let genesis: Cid;
  let intact: Buffer;

  beforeEach(async () => {
    store = new MemoryObjectStore();
    genesis = (await fill(store)).genesis.cid;
    intact = await bytesOf(store);
  });

  test("opens the bucket, whichever bit of it is flipped", async () => {
    for (let bit = 0; bit < intact.length * 8; bit += STRIDE) {
      await replace(store, flipped(intact, bit));
      expect([bit, (await openBucket(remoteOf(store))).genesis.cid]).toEqual([bit, genesis]);
      expect((await auditObjects(remoteOf(store), { blocks: false })).damage.length).toBe(1);
    }
  });

  test("mends the block that the commits link, if that one is damaged", async () => {
    const [name] = await holdersOf(store, intact);
    const pack = await store.get(name ?? "");
    const at = Buffer.from(pack?.bytes ?? []).indexOf(intact) + 100;
    await store.putIfMatch(name ?? "", [flipped(pack?.bytes ?? new Uint8Array(), at * 8)], pack?.token ?? "");
    expect((await auditObjects(remoteOf(store))).damage).toMatchObject([{ object: name }]);
    const { repaired, damage } = await repairObjects(remoteOf(store), { random });
    expect(repaired.map(({ object }) => object)).toEqual([name]);
    expect(damage).toEqual([]);
    expect((await store.get(name ?? ""))?.token).toBe(pack?.token);
  });

  test("costs no other read while it is intact", async () => {
    const reads: string[] = [];
    const get: ObjectStore["get"] = (name) => {
      reads.push(name);
      return store.get(name);
    };
    await openBucket(remoteOf(alteredStore(store, { get })));
    expect(reads).toEqual(["genesis"]);
  });

  test("is refused, and not replaced, if it is another bucket's", async () => {
    const other = new MemoryObjectStore();
    const foreign = await fill(other, 3);
    await replace(store, await bytesOf(other));
    const opened = await openBucket(remoteOf(store));
    expect(opened.genesis.cid).toBe(foreign.genesis.cid);
    await expect(opened.head()).rejects.toMatchObject({ code: "foreign_bucket" });
    expect((await auditObjects(remoteOf(store))).damage).toMatchObject([
      { object: "genesis", what: expect.stringContaining("another bucket") },
    ]);
    const before = await contents(store);
    expect((await repairObjects(remoteOf(store), { random })).damage).toMatchObject([{ object: "genesis" }]);
    expect(await contents(store)).toEqual(before);
  });

  test("of a damaged bucket is compared with the pinned one", async () => {
    await replace(store, flipped(intact, 1_000));
    const remote = remoteOf(store);
    const blocks = remote.blocks;
    expect((await Bucket.open(remote, { blocks, pinnedGenesis: genesis })).genesis.cid).toBe(genesis);
    const pinnedGenesis = cidOf("raw", Buffer.from("another"));
    await expect(Bucket.open(remote, { blocks, pinnedGenesis })).rejects.toMatchObject({ code: "foreign_bucket" });
  });

  test("of a newer version still says so", async () => {
    const remote = remoteOf(store);
    const root = await remote.readRoot();
    const commit = decodeCommit(await remote.blocks.get(root?.commit ?? genesis));
    const [body, signature] = decodeCbor(intact) as [Record<string, number>, Uint8Array];
    const bytes = encodeCbor([{ ...body, version: 2 }, signature]);
    const newer = { cid: cidOf("dag-cbor", bytes), bytes };
    const { device } = (await newWriter(await openBucket(remote), 9)).writer;
    const signed = signCommit(
      { ...commit.body, writer: device.writer, genesis: newer.cid },
      commit.certificate,
      device,
    );
    const upgraded = remoteOf(new MemoryObjectStore());
    expect(await upgraded.create(newer, { commit: signed, blocks: [newer] })).toBe(true);
    await expect(openBucket(upgraded)).rejects.toMatchObject({ code: "feature_unknown" });
    await upgraded.store.delete("genesis");
    await expect(openBucket(upgraded)).rejects.toMatchObject({ code: "feature_unknown" });
  });

  test("is reported as it is if the root is lost, too", async () => {
    await replace(store, flipped(intact, 2_000));
    await store.delete("root");
    await expect(openBucket(remoteOf(store))).rejects.toMatchObject({ code: expect.stringMatching(/bad_sig|format/) });
  });

  test("that another process puts back during a repair stays as that one wrote it", async () => {
    await replace(store, flipped(intact, 1_000));
    const putIfMatch: ObjectStore["putIfMatch"] = async (name, ...rest) => {
      if (name === "genesis") await replace(store, intact);
      return store.putIfMatch(name, ...rest);
    };
    const remote = remoteOf(alteredStore(store, { putIfMatch }));
    expect(await repairObjects(remote, { random })).toEqual({ repaired: [], damage: [] });
    expect(Buffer.compare(await bytesOf(store), intact)).toBe(0);
  });
});
