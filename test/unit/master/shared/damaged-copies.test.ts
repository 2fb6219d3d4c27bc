/** Copies of blocks that are damaged or lost, while several masters serve: what one of them has found out, the others do not know. */
import { expect, test, vi } from "vitest";
import { PACK_STATES } from "../../../../src/arbiter/arbiter.ts";
import { digestOf } from "../../../../src/format/blocks/cid.ts";
import { objectOf } from "../../../../src/master/shared/pack-objects.ts";
import { type ObjectStore, objectNotFound } from "../../../../src/objects/object-store.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { LEASE_MS, SharedWorld } from "../../../support/shared-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const { wallet: owner } = (await CommitChain.create()).owner;
const HARMS = ["flipped", "lost"] as const;
type Harm = (typeof HARMS)[number];

async function packsIn(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list("pack/")) names.push(name);
  return names;
}

async function harm(store: ObjectStore, name: string, bytes: Uint8Array, how: Harm): Promise<void> {
  const there = await store.get(name);
  await store.delete(name);
  if (how === "lost" || there === undefined) return;
  const flipped = Buffer.from(there.bytes);
  const at = flipped.indexOf(bytes);
  flipped.writeUInt8(flipped.readUInt8(at + 9) ^ 4, at + 9);
  await store.putNew(name, [flipped]);
}

/** Two masters, one of which has copied a needed chunk into a new pack; the old pack is condemned. Then the copy is harmed. */
async function harmedCopy(how: Harm) {
  const chain = await CommitChain.create();
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const [a, b] = [world.master(), world.master()];
  const store = world.objects.of(owner);
  const chunk = blockOf("raw", noise(50_000, 7));
  const tree = nodeBlock("tree", chunk);
  const first = chain.make("one", undefined, { tree: tree.cid });
  const garbage = Array.from({ length: 4 }, (_, seed) => blockOf("raw", noise(50_000, 100 + seed)));
  const blocks = await a.stores.of(owner);
  await blocks.put(first.blocks);
  await blocks.put([tree]);
  await blocks.put([chunk, ...garbage]);
  const name = { owner, bucket: "demo" };
  await a.swaps.swap(name, { kind: "absent" }, first.commit.cid, new AbortController().signal);
  await clock.advance(LEASE_MS + 1_000);
  const before = await packsIn(store);
  await b.collect(owner);
  const copy = (await packsIn(store)).find((pack) => !before.includes(pack)) ?? "";
  await harm(store, copy, chunk.bytes, how);
  const collectLater = async () => {
    for (let lease = 0; lease < 2; lease++) {
      await clock.advance(LEASE_MS + 1_000);
      await b.collect(owner);
    }
  };
  return { world, clock, chunk, blocks, others: await b.stores.of(owner), collectLater };
}

test.each(HARMS)("a pack that is due stays if the copy of what is needed of it is %s", async (how) => {
  const { world, chunk, collectLater } = await harmedCopy(how);
  await collectLater();
  const there = await world.master().stores.of(owner);
  expect(Buffer.compare(await there.get(chunk.cid), chunk.bytes)).toBe(0);
});

test.each(HARMS)("a reader that finds a copy %s keeps the condemned pack with the intact one", async (how) => {
  const { world, chunk, blocks, others, collectLater } = await harmedCopy(how);
  await blocks.era();
  expect(Buffer.compare(await blocks.get(chunk.cid), chunk.bytes)).toBe(0);
  // Blocks of condemned packs do not count as there.
  expect(await blocks.has([chunk.cid])).toEqual(new Set([chunk.cid]));
  // The other master, to which it is sent, finds it in the kept pack.
  expect(await others.put([chunk])).toEqual({ stored: 0, known: 1 });
  await collectLater();
  const there = await world.master().stores.of(owner);
  expect(Buffer.compare(await there.get(chunk.cid), chunk.bytes)).toBe(0);
});

test.each(HARMS)("a block that one master finds %s is healed by an upload to another", async (how) => {
  const world = new SharedWorld(new ManualClock());
  const [a, b] = [await world.master().stores.of(owner), await world.master().stores.of(owner)];
  const block = blockOf("raw", noise(5_000, 1));
  await a.put([block]);
  await b.era();
  const store = world.objects.of(owner);
  for (const name of await packsIn(store)) await harm(store, name, block.bytes, how);
  await expect(a.get(block.cid)).rejects.toMatchObject({ code: "block_corrupt" });
  expect(await b.put([block])).toEqual({ stored: 1, known: 0 });
  for (const blocks of [a, b, await world.master().stores.of(owner)])
    expect(Buffer.compare(await blocks.get(block.cid), block.bytes)).toBe(0);
});

test("a collection keeps a condemned pack that it cannot read", async () => {
  const { world, clock, chunk } = await harmedCopy("flipped");
  const store = world.objects.of(owner);
  const { entries } = await world.arbiter.packs.after(owner, 0);
  const condemned = entries.filter(({ state }) => state === PACK_STATES.condemned).map(({ pack }) => pack);
  const getTail = store.getTail.bind(store);
  store.getTail = async (name, length) => {
    if (condemned.some((pack) => name.includes(pack))) throw objectNotFound("memory:", name);
    return getTail(name, length);
  };
  await clock.advance(LEASE_MS + 1_000);
  await world.master().collect(owner);
  store.getTail = getTail;
  const there = await world.master().stores.of(owner);
  expect(Buffer.compare(await there.get(chunk.cid), chunk.bytes)).toBe(0);
});

test("a node whose other copy was found lost keeps its pack, though that is condemned only later", async () => {
  const world = new SharedWorld(new ManualClock());
  const [a, b] = [await world.master().stores.of(owner), await world.master().stores.of(owner)];
  const node = nodeBlock("node", blockOf("raw", noise(10, 1)));
  await a.put([node]);
  // Written by the other master, which had not read the log.
  await b.put([node]);
  await a.era();
  const lost = a.cache.find(digestOf(node.cid))?.pack ?? "";
  await world.objects.of(owner).delete(objectOf(lost));
  expect(Buffer.compare(await a.get(node.cid), node.bytes)).toBe(0);
  const intact = a.cache.packs().map(({ pack }) => pack);
  await world.arbiter.packs.change(owner, {
    add: [],
    condemn: intact.filter((pack) => pack !== lost),
    begunMs: 0,
    patienceMs: LEASE_MS,
  });
  await a.era();
  expect(await a.has([node.cid])).toEqual(new Set());
  await a.get(node.cid);
  expect(await a.has([node.cid])).toEqual(new Set([node.cid]));
});

test("known blocks that are sent again after their pack was lost are stored, at the cost of a few readings of the log", async () => {
  const world = new SharedWorld(new ManualClock());
  const blocks = await world.master().stores.of(owner);
  const many = Array.from({ length: 500 }, (_, seed) => blockOf("raw", noise(100, seed)));
  await blocks.put(many);
  const store = world.objects.of(owner);
  for (const name of await packsIn(store)) await store.delete(name);
  const after = vi.spyOn(world.arbiter.packs, "after");
  expect(await blocks.put(many)).toEqual({ stored: many.length, known: 0 });
  expect(after.mock.calls.length).toBeLessThan(5);
});

/** A master with a cache on disk, over a store that can say for a while that it has no objects. */
async function forgetful() {
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const cacheDir = await temporaryFolder();
  const start = () => world.stores(cacheDir);
  const store = world.objects.of(owner);
  const { getRanges, getTail } = store;
  const none = async (name: string) => {
    throw objectNotFound("memory:", name);
  };
  const forget = (isAway: boolean) =>
    Object.assign(store, isAway ? { getRanges: none, getTail: none } : { getRanges, getTail });
  return { clock, world, start, forget, block: blockOf("raw", noise(5_000, 1)) };
}

test.each([true, false])(
  "a block that the store had lost for a while is there again (restarted: %s)",
  async (restarts) => {
    const { clock, start, forget, block } = await forgetful();
    let stores = start();
    await (await stores.of(owner)).put([block]);
    forget(true);
    await expect((await stores.of(owner)).get(block.cid)).rejects.toMatchObject({ code: "block_corrupt" });
    expect(await (await stores.of(owner)).hold([block.cid])).toEqual(new Set());
    forget(false);
    await clock.advance(LEASE_MS);
    if (restarts) await stores[Symbol.asyncDispose]();
    if (restarts) stores = start();
    const blocks = await stores.of(owner);
    expect(await blocks.hold([block.cid])).toEqual(new Set([block.cid]));
    expect(Buffer.compare(await blocks.get(block.cid), block.bytes)).toBe(0);
  },
);

test("a pack that another master entered while the store was forgetful can be read afterwards", async () => {
  const { clock, world, start, forget, block } = await forgetful();
  const blocks = await start().of(owner);
  await blocks.era();
  await (await world.master().stores.of(owner)).put([block]);
  forget(true);
  await blocks.era();
  await expect(blocks.get(block.cid)).rejects.toMatchObject({ code: "block_not_found" });
  forget(false);
  await clock.advance(LEASE_MS);
  expect(Buffer.compare(await blocks.get(block.cid), block.bytes)).toBe(0);
  expect(await blocks.has([block.cid])).toEqual(new Set([block.cid]));
});
