/** A pack that could not be read, and is read again while the log goes on, or while its master ends. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { type LogEntry, PACK_STATES, type PackLog, type PackState } from "../../../../src/arbiter/arbiter.ts";
import { nextTurn } from "../../../../src/base/concurrency.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { PackName, Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { digestOf } from "../../../../src/format/blocks/cid.ts";
import { LogFollower } from "../../../../src/master/shared/log-follower.ts";
import { PackCache } from "../../../../src/master/shared/pack-cache.ts";
import { objectOf } from "../../../../src/master/shared/pack-objects.ts";
import { type Databases, systemDatabases } from "../../../../src/objects/databases.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { objectNotFound } from "../../../../src/objects/object-store.ts";
import { buildPack } from "../../../../src/packs/pack-builder.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { raw } from "../../../support/opaque-commits.ts";
import { LEASE_MS, SharedWorld } from "../../../support/shared-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const PACK = "0".repeat(32);
const lost = async (): Promise<never> => {
  throw new SynclineError("object_not_found", "no such object");
};

async function world(first: PackState) {
  const cache = PackCache.open(join(await temporaryFolder(), "cache"), systemDatabases);
  const store = new MemoryObjectStore();
  const built = buildPack(objectOf(PACK) as PackName, [raw("block")]);
  await store.putNew(objectOf(PACK), built.body);
  const log: LogEntry[] = [];
  const change = (state: PackState) =>
    log.splice(0, 1, {
      pack: PACK,
      bytes: 9,
      rows: 1,
      state,
      position: (log[0]?.position ?? 0) + 1,
      createdMs: 1,
      changedMs: 1,
    });
  change(first);
  const after = async (_: Wallet, from: number) => ({
    era: 1,
    entries: log.filter(({ position }) => position > from),
    more: false,
    nowMs: 3,
    position: log[0]?.position ?? 0,
  });
  const gate = Promise.withResolvers<void>();
  const footers: (() => Promise<{ bytes: Uint8Array; size: number }>)[] = [lost];
  const clock = new ManualClock();
  const follower = new LogFollower({
    owner: `0x${"11".repeat(20)}` as Wallet,
    arbiter: { packs: { after } as unknown as PackLog },
    objects: alteredStore(store, { getTail: async () => (footers.shift() ?? lost)() }),
    clock,
    log: silentLog,
    cache: () => cache,
    onWentBack: async () => {},
  });
  await follower.refresh();
  await clock.advance(61_000);
  const read = () => store.getTail(objectOf(PACK), 65_536);
  return { cache, follower, change, footers, gate, read, clock, digest: built.footer.row(0).digest };
}

test("a pack condemned while its footer is tried again does not become live", async () => {
  const { cache, follower, change, footers, gate, read, digest } = await world(PACK_STATES.live);
  footers.push(() => gate.promise.then(read));
  await follower.refresh();
  change(PACK_STATES.condemned);
  await follower.refresh();
  gate.resolve();
  await follower.refreshAll();
  expect(cache.find(digest)?.isLive).not.toBe(true);
});

test.each(["can be read", "cannot be read"])(
  "a pack that is gone while its footer is tried again stays gone, if that %s",
  async (how) => {
    const { cache, follower, change, footers, gate, read, digest } = await world(PACK_STATES.condemned);
    footers.push(() => gate.promise.then(how === "can be read" ? read : lost));
    await follower.refresh();
    change(PACK_STATES.gone);
    await follower.refresh();
    gate.resolve();
    await follower.refreshAll();
    expect([cache.find(digest), cache.isUnread(PACK)]).toEqual([undefined, false]);
  },
);

test("a root is not accepted on blocks of a pack that is condemned and then deleted", async () => {
  const chain = await CommitChain.create();
  const { wallet: owner } = chain.owner;
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const [a, b] = [world.master(), world.master()];
  const [ours, theirs] = [await a.stores.of(owner), await b.stores.of(owner)];
  const store = world.objects.of(owner);
  const chunk = blockOf("raw", noise(50_000, 7));
  const other = chain.make("other", undefined, {});
  await theirs.put(other.blocks);
  await b.swaps.swap({ owner, bucket: "other" }, { kind: "absent" }, other.commit.cid, new AbortController().signal);
  await theirs.put([chunk]);
  const pack = theirs.cache.find(digestOf(chunk.cid))?.pack ?? "";
  // One of the masters cannot find the pack in the store for a while.
  const getTail = store.getTail.bind(store);
  const gate = Promise.withResolvers<void>();
  const fates: (() => Promise<void>)[] = [];
  store.getTail = async (name, length) => {
    if (name === objectOf(pack)) {
      const fate = fates.shift();
      if (fate === undefined) throw objectNotFound("memory:", name);
      await fate();
    }
    return getTail(name, length);
  };
  await ours.era();
  expect(ours.cache.isUnread(pack)).toBe(true);
  await clock.advance(61_000);
  // A slow answer, as the footer is tried again.
  fates.push(() => gate.promise);
  await ours.era();
  // The other one collects it: no root reaches it.
  await world.arbiter.packs.change(owner, { add: [], condemn: [pack], begunMs: 0, patienceMs: LEASE_MS });
  await ours.era();
  gate.resolve();
  await ours.follower.refreshAll();
  store.getTail = getTail;
  // The other one's collection has marked the roots when a client asks what it must send, sends the rest, and swaps.
  await clock.advance(LEASE_MS + 1_000);
  const tree = nodeBlock("tree", chunk);
  const first = chain.make("one", undefined, { tree: tree.cid });
  let isSwapped = false;
  world.onStep = async (step) => {
    if (isSwapped || step === "before swap") return;
    isSwapped = true;
    const there = await ours.has([chunk.cid]);
    await ours.put([...first.blocks, tree, ...(there.has(chunk.cid) ? [] : [chunk])]);
    await a.swaps.swap({ owner, bucket: "demo" }, { kind: "absent" }, first.commit.cid, new AbortController().signal);
  };
  await b.collect(owner);
  expect(isSwapped).toBe(true);
  const fresh = await world.master().stores.of(owner);
  expect(Buffer.compare(await fresh.get(chunk.cid), chunk.bytes)).toBe(0);
});

test("damaged copies in one lost pack are tried again with one read", async () => {
  const { wallet: owner } = (await CommitChain.create()).owner;
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const blocks = await world.master().stores.of(owner);
  const chunks = Array.from({ length: 200 }, (_, seed) => blockOf("raw", noise(1_000, seed)));
  await blocks.put(chunks);
  const store = world.objects.of(owner);
  const names: string[] = [];
  for await (const { name } of store.list("pack/")) names.push(name);
  for (const name of names) await store.delete(name);
  await blocks.check(chunks.map(({ cid }) => cid));
  await clock.advance(61_000);
  let reads = 0;
  const getRanges = store.getRanges.bind(store);
  store.getRanges = async (name, ranges) => {
    reads++;
    return getRanges(name, ranges);
  };
  await blocks.hold(chunks.map(({ cid }) => cid));
  expect(reads).toBeLessThanOrEqual(names.length);
});

test("a footer that is tried again does not open a cache that was closed", async () => {
  const { wallet: owner } = (await CommitChain.create()).owner;
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  let opened = 0;
  const open: Databases["open"] = (...at) => {
    opened++;
    return systemDatabases.open(...at);
  };
  const stores = world.stores(await temporaryFolder(), { ...systemDatabases, open });
  const other = await world.master().stores.of(owner);
  const chunk = blockOf("raw", noise(1_000, 7));
  await other.put([chunk]);
  const pack = other.cache.find(digestOf(chunk.cid))?.pack ?? "";
  const store = world.objects.of(owner);
  const getTail = store.getTail.bind(store);
  const gate = Promise.withResolvers<void>();
  let tries = 0;
  store.getTail = async (name, length) => {
    if (name !== objectOf(pack)) return getTail(name, length);
    if (tries++ > 0) await gate.promise;
    throw objectNotFound("memory:", name);
  };
  const blocks = await stores.of(owner);
  await blocks.era();
  await clock.advance(61_000);
  await blocks.era();
  expect(tries).toBe(2);
  await stores[Symbol.asyncDispose]();
  const before = opened;
  gate.resolve();
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  expect(opened).toBe(before);
});
