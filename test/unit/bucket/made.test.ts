/** Making a bucket: what is there when that was cut short, and where none may be made. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { PackedRemote } from "../../../src/bucket/packed/packed-remote.ts";
import { walletSigner } from "../../../src/crypto/wallet.ts";
import { MemoryObjectStore } from "../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../src/objects/object-store.ts";
import { noise } from "../../support/bytes.ts";
import { Hours, newStore, opened, shown } from "../../support/collected-store.ts";
import { createBucket, openBucket, OWNER } from "../../support/test-bucket.ts";

const ports = { clock: systemClock, random: systemRandom };
const STRANGER = walletSigner(new Uint8Array(32).fill(8));

/** Makes a bucket whose creation differs from all others. */
function make(store: ObjectStore, owner = OWNER) {
  return createBucket(new PackedRemote(store, ports), ++seeds, systemClock, owner);
}
let seeds = 500;

async function namesIn(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list("")) names.push(name);
  return names.sort();
}

/** A bucket with a pack, which has lost its root. */
async function rootless() {
  const hours = new Hours();
  const store = await newStore(hours);
  const { put } = await opened(store, hours);
  await put("large", noise(20_000_000, 1));
  await put("small", noise(10, 2));
  const root = (await store.get("root"))?.bytes ?? new Uint8Array();
  await store.delete("root");
  return { hours, store, root };
}

test("a bucket whose creation stopped right after its first root can be opened", async () => {
  const store = new MemoryObjectStore();
  const made = await make(store);
  await store.delete("genesis");
  const again = await openBucket(new PackedRemote(store, ports));
  expect(again.genesis.cid).toBe(made.genesis.cid);
  expect((await again.current())?.commit.body.genesis).toBe(made.genesis.cid);
});

describe("a bucket that has lost its root", () => {
  test("is not replaced: making one is refused and changes nothing", async () => {
    const { hours, store, root } = await rootless();
    const before = await namesIn(store);
    await expect(make(store)).rejects.toMatchObject({
      code: "bucket_exists",
      message: expect.stringContaining("lost its root"),
      hint: expect.stringContaining("syncline verify --repair"),
    });
    expect(await namesIn(store)).toEqual(before);
    await store.putNew("root", [root]);
    expect(Object.keys(await shown(store, hours))).toEqual(["large", "small"]);
  });

  test.each([
    ["a pack", ["genesis", "commit/", "run/"]],
    ["commits", ["genesis", "pack/", "run/"]],
  ])("is not replaced while %s of it is left", async (_, lost) => {
    const { store } = await rootless();
    for (const name of await namesIn(store)) if (lost.some((each) => name.startsWith(each))) await store.delete(name);
    await expect(make(store)).rejects.toMatchObject({ code: "bucket_exists" });
  });

  test("is reported as such by readers, who learn how to repair it", async () => {
    const { store } = await rootless();
    const lost = {
      code: "arbiter_unreachable",
      message: expect.stringContaining("lost its root"),
      hint: expect.stringContaining("syncline verify --repair"),
    };
    const bucket = await openBucket(new PackedRemote(store, ports));
    await expect(bucket.head()).rejects.toMatchObject(lost);
    await store.delete("genesis");
    await expect(openBucket(new PackedRemote(store, ports))).rejects.toMatchObject(lost);
  });
});

describe("a creation that was interrupted", () => {
  test("before its root can be repeated by anyone, however often that happens", async () => {
    const store = new MemoryObjectStore();
    for (let times = 0; times < 3; times++) {
      await make(store, times === 1 ? STRANGER : OWNER);
      for (const name of ["root", "genesis"]) await store.delete(name);
      await expect(openBucket(new PackedRemote(store, ports))).rejects.toMatchObject({ code: "no_such_bucket" });
    }
    const made = await make(store);
    expect((await made.head()).commit.body.genesis).toBe(made.genesis.cid);
  });

  test("after its genesis can be repeated by the same wallet only", async () => {
    const store = new MemoryObjectStore();
    await make(store);
    await store.delete("root");
    await expect(make(store, STRANGER)).rejects.toMatchObject({ code: "bucket_exists" });
    const made = await make(store);
    expect((await openBucket(new PackedRemote(store, ports))).genesis.cid).toBe(made.genesis.cid);
  });

  test("is not repeated if a commit object cannot be read: it may be anything", async () => {
    const store = new MemoryObjectStore();
    await store.putNew(`commit/1e20${"ab".repeat(32)}`, [noise(1_000, 1)]);
    await expect(make(store)).rejects.toMatchObject({ code: "bucket_exists" });
  });
});
