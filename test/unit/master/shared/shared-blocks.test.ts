/** One master's view of packs that other masters change. */
import { describe, expect, test, vi } from "vitest";
import type { Wallet } from "../../../../src/base/ids.ts";
import { Quota } from "../../../../src/master/account/quota.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../../src/master/limits.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { LEASE_MS, type SharedMaster, SharedWorld } from "../../../support/shared-world.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;

test("a pack that is condemned again while a swap restores it does not count as live", async () => {
  const world = new SharedWorld();
  const block = blockOf("raw", noise(1_000, 1));
  const blocks = await world.master().stores.of(OWNER);
  await blocks.put([block]);
  const { packs } = world.arbiter;
  const condemn = blocks.cache.packs().map(({ pack }) => pack);
  const condemned = { add: [], condemn, begunMs: 0, patienceMs: 0 };
  await packs.change(OWNER, condemned);
  await blocks.era();
  const { restore } = packs;
  vi.spyOn(packs, "restore").mockImplementation(async (...call) => {
    const live = await restore(...call);
    // The answer is late. Meanwhile another master condemns the pack, and this one reads that first.
    await packs.change(OWNER, condemned);
    await blocks.era();
    return live;
  });
  expect(await blocks.hold([block.cid])).toEqual(new Set());
  expect(await blocks.has([block.cid])).toEqual(new Set());
});

test("looking for missing blocks of others reads the log at most once a minute", async () => {
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const [here, other] = await Promise.all([world.master(), world.master()].map(({ stores }) => stores.of(OWNER)));
  const reads = vi.spyOn(world.arbiter.packs, "after");
  const block = blockOf("raw", noise(1_000, 1));
  for (let times = 0; times < 3; times++) expect(await here?.knownSize(block.cid)).toBeUndefined();
  expect(reads).toHaveBeenCalledTimes(1);
  await other?.put([block]);
  await clock.advance(61_000);
  expect(await here?.knownSize(block.cid)).toBe(1_000);
});

describe("a block of an idle master, whose pack another master", () => {
  test.each([
    ["has condemned", 1],
    ["has deleted", 2],
  ])("%s, is stored again by an upload", async (_what, collections) => {
    const clock = new ManualClock();
    const world = new SharedWorld(clock);
    const [idle, other] = [world.master(), world.master()];
    const chain = await CommitChain.create();
    const owner = chain.owner.wallet;
    const block = blockOf("raw", noise(1_000, 1));
    const blocks = await idle.stores.of(owner);
    await blocks.put([block]);
    const { commit, blocks: reached } = chain.make("one", undefined);
    await (await other.stores.of(owner)).put(reached);
    await world.arbiter.roots.swap({ owner, bucket: "demo" }, undefined, commit.cid);
    for (let count = 0; count < collections; count++) {
      await clock.advance(LEASE_MS + 1_000);
      await other.collect(owner);
    }
    expect(await blocks.put([block])).toEqual({ stored: 1, known: 0 });
    const read = await (await world.master().stores.of(owner)).get(block.cid);
    expect(Buffer.compare(read, block.bytes)).toBe(0);
    expect(await blocks.put([block])).toEqual({ stored: 0, known: 1 });
  });
});

test("an owner's quota counts what other masters have stored, also before the first upload", async () => {
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const blocks = await world.master().stores.of(OWNER);
  await blocks.put([blockOf("raw", noise(1_000, 1))]);
  const quota = new Quota(world.master().stores, 1_500);
  expect(await quota.stateOf(OWNER)).toMatchObject({ canUpload: true, usedBytes: 1_000 + BLOCK_OVERHEAD_BYTES });
  await blocks.put([blockOf("raw", noise(1_000, 2))]);
  await clock.advance(61_000);
  await expect(quota.admit(OWNER, [blockOf("raw", noise(1, 3))])).rejects.toMatchObject({ code: "over_quota" });
});

describe("an incarnation of the arbiter that changes while a master reads the log", () => {
  test("empties the cache, and the log is read again from its start", async () => {
    const { world, reader, blocks } = await threePacks();
    const there = await reader.stores.of(OWNER);
    await there.era();
    const { after } = world.arbiter.packs;
    vi.spyOn(world.arbiter.packs, "after").mockImplementationOnce(async (...call) => {
      const page = await after(...call);
      changeIncarnation(world, reader);
      return page;
    });
    await there.era();
    expect((await there.has(blocks.map(({ cid }) => cid))).size).toBe(blocks.length);
  });

  test("empties it while footers are read, too", async () => {
    const { world, reader, blocks } = await threePacks();
    const there = await reader.stores.of(OWNER);
    const store = world.objects.of(OWNER);
    const getTail = store.getTail.bind(store);
    const last = Promise.withResolvers<void>();
    let footers = 0;
    vi.spyOn(store, "getTail").mockImplementation(async (...call) => {
      if (++footers === blocks.length) await last.promise;
      return getTail(...call);
    });
    const reading = there.era();
    await expect.poll(() => there.cache.packs().length).toBe(blocks.length - 1);
    changeIncarnation(world, reader);
    last.resolve();
    await reading;
    expect((await there.has(blocks.map(({ cid }) => cid))).size).toBe(blocks.length);
  });
});

/** Packs that one master has stored, and of which the other does not know yet. */
async function threePacks() {
  const world = new SharedWorld();
  const blocks = [1, 2, 3].map((seed) => blockOf("raw", noise(1_000, seed)));
  const writer = await world.master().stores.of(OWNER);
  for (const block of blocks) await writer.put([block]);
  return { world, blocks, reader: world.master() };
}

function changeIncarnation(world: SharedWorld, { stores }: SharedMaster): void {
  world.incarnation = "2";
  stores.renew();
}
