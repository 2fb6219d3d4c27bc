/** Collections of several masters beside uploads and swaps: nothing that a root reaches is ever lost. */
import { beforeAll, describe, expect, test, vi } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid, Wallet } from "../../../../src/base/ids.ts";
import { PACK_STATES } from "../../../../src/arbiter/arbiter.ts";
import { codecOf, digestOf } from "../../../../src/format/blocks/cid.ts";
import { adoptPacks } from "../../../../src/master/shared/adopt-packs.ts";
import { Refusal } from "../../../../src/master/http/refusal.ts";
import { reachedLinks } from "../../../../src/master/store/reached-links.ts";
import type { SwapCondition } from "../../../../src/master/roots/condition.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../../src/master/limits.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain, type MadeCommit, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { LEASE_MS, type SharedMaster, SharedWorld } from "../../../support/shared-world.ts";

const NEVER = new AbortController().signal;
let chain: CommitChain;
let owner: Wallet;
beforeAll(async () => {
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
});

/** Two masters of a world, and a commit that is the root. */
async function twoMasters() {
  const world = new SharedWorld(new ManualClock());
  const [a, b] = [world.master(), world.master()];
  const first = chain.make("one", undefined);
  await upload(a, first);
  await swap(a, undefined, first);
  return { world, clock: world.clock as ManualClock, a, b, first };
}

describe("several masters", () => {
  test("a block that one stores is there for the other", async () => {
    const world = new SharedWorld();
    const [a, b] = [world.master(), world.master()];
    const block = blockOf("raw", noise(1_000, 1));
    await (await a.stores.of(owner)).put([block]);
    const there = await b.stores.of(owner);
    expect(await there.has([block.cid])).toEqual(new Set([block.cid]));
    expect(await there.size(block.cid)).toBe(1_000);
    expect(Buffer.compare(await there.get(block.cid), block.bytes)).toBe(0);
    expect(there.usedBytes).toBe(1_000 + BLOCK_OVERHEAD_BYTES);
  });

  test("a commit uploaded to one is swapped at the other", async () => {
    const world = new SharedWorld();
    const [a, b] = [world.master(), world.master()];
    const first = chain.make("one", undefined);
    await upload(a, first);
    await swap(b, undefined, first);
    expect(await world.arbiter.roots.get(NAME())).toMatchObject({ commit: first.commit.cid });
  });

  test("a damaged chunk that an upload healed stays healed, also if the collecting master does not know of the damage", async () => {
    const { world, clock, a, b } = await twoMasters();
    const chunk = blockOf("raw", noise(50_000, 7));
    const tree = nodeBlock("tree", chunk);
    const made = chain.make("two", undefined, { tree: tree.cid });
    const blocks = await a.stores.of(owner);
    await blocks.put([...made.blocks, chunk, tree]);
    await a.swaps.swap({ owner, bucket: "other" }, { kind: "absent" }, made.commit.cid, NEVER);
    await (await b.stores.of(owner)).era();
    await flipBitOf(world, chunk.bytes);
    await expect(blocks.get(chunk.cid)).rejects.toMatchObject({ code: "block_corrupt" });
    expect(await blocks.put([chunk])).toEqual({ stored: 1, known: 0 });
    for (let lease = 0; lease < 3; lease++) {
      await clock.advance(LEASE_MS + 1_000);
      await b.collect(owner);
    }
    const there = await world.master().stores.of(owner);
    expect(Buffer.compare(await there.get(chunk.cid), chunk.bytes)).toBe(0);
  });

  test("garbage goes after two leases, and what roots reach stays", async () => {
    const { world, clock, a, b, first } = await twoMasters();
    const garbage = blockOf("raw", noise(50_000, 7));
    await (await a.stores.of(owner)).put([garbage]);
    // Young packs stay.
    expect((await b.collect(owner)).blocks).toBe(0);
    await clock.advance(LEASE_MS + 1_000);
    expect((await b.collect(owner, true)).blocks).toBe(1);
    expect((await b.collect(owner)).blocks).toBe(1);
    // It is readable, but an upload does not count on it.
    const there = await a.stores.of(owner);
    expect(await there.has([garbage.cid])).toEqual(new Set());
    expect((await there.get(garbage.cid)).length).toBe(50_000);
    expect(await objectCount(world)).toBe(2);
    await clock.advance(LEASE_MS + 1_000);
    await a.collect(owner);
    expect(await objectCount(world)).toBe(1);
    await isWhole(world, first.commit.cid);
  });

  test("a swap that reaches a condemned pack keeps it", async () => {
    const { world, clock, a, b, first } = await twoMasters();
    const second = chain.make("two", first);
    await upload(a, second);
    await clock.advance(LEASE_MS + 1_000);
    await b.collect(owner);
    expect(await states(world)).toContain(PACK_STATES.condemned);
    await swap(a, first, second);
    expect(await states(world)).not.toContain(PACK_STATES.condemned);
    await clock.advance(2 * LEASE_MS);
    await b.collect(owner);
    await isWhole(world, second.commit.cid);
  });

  test("a pack that was condemned while a swap reached it is kept, though the collector was killed right then", async () => {
    const { world, clock, a, b, first } = await twoMasters();
    const second = chain.make("two", first);
    await upload(a, second);
    await clock.advance(LEASE_MS + 1_000);
    world.onStep = async (step) => {
      if (step === "before change") await swap(a, first, second);
      if (step === "after change") throw new Killed();
    };
    await expect(b.collect(owner)).rejects.toThrow(Killed);
    expect(await states(world)).toContain(PACK_STATES.condemned);
    world.onStep = async () => {};
    await clock.advance(LEASE_MS + 1_000);
    await a.collect(owner);
    await isWhole(world, second.commit.cid);
  });

  test("an uploader that slept for three leases is told what is missing", async () => {
    const { world, clock, a, b, first } = await twoMasters();
    const second = chain.make("two", first);
    await upload(a, second);
    for (let lease = 0; lease < 3; lease++) {
      await clock.advance(LEASE_MS + 1_000);
      await b.collect(owner);
    }
    const refused = await swap(a, first, second).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "missing_blocks" });
    await upload(a, second);
    await swap(a, first, second);
    await isWhole(world, second.commit.cid);
  });

  test("an upload that is asked about in time is kept, however long it takes", async () => {
    const { clock, a, b, first } = await twoMasters();
    const second = chain.make("two", first);
    await upload(a, second);
    for (let quarter = 0; quarter < 12; quarter++) {
      await clock.advance(LEASE_MS / 4);
      await b.collect(owner);
      const there = await a.stores.of(owner);
      const cids = second.blocks.map(({ cid }) => cid);
      await there.lease(cids);
      expect(await there.has(cids)).toEqual(new Set(cids));
    }
    // Nobody asks any more.
    for (let lease = 0; lease < 3; lease++) {
      await clock.advance(LEASE_MS + 1_000);
      await b.collect(owner);
    }
    expect(await (await a.stores.of(owner)).has([second.commit.cid])).toEqual(new Set());
  });

  test("many small packs are joined, and nothing is missing at any master meanwhile", async () => {
    const world = new SharedWorld(new ManualClock());
    const [a, b] = [world.master(), world.master()];
    let last: MadeCommit | undefined;
    for (let at = 0; at < 20; at++) {
      const next = chain.make(`file ${at}`, last);
      await upload(a, next);
      await swap(a, last, next);
      last = next;
    }
    await b.collect(owner);
    const live = (await states(world)).filter((state) => state === PACK_STATES.live);
    expect(live).toHaveLength(1);
    const there = await a.stores.of(owner);
    await there.era();
    const all = last === undefined ? [] : [last.commit.cid];
    expect(await there.has(all)).toEqual(new Set(all));
    const next = chain.make("after", last);
    await upload(a, next);
    await swap(a, last, next);
    await isWhole(world, next.commit.cid);
  });

  test.each(["intact", "damaged"])(
    "a pack goes once its blocks were read from other packs in few requests, though a copy there is %s",
    async (what) => {
      const { world, clock, a, b } = await twoMasters();
      const chunks = Array.from({ length: 400 }, (_, at) => blockOf("raw", noise(2_000, at)));
      const tree = nodeBlock("tree", ...chunks);
      const next = chain.make("next", undefined, { tree: tree.cid });
      await (await a.stores.of(owner)).put(chunks.slice(0, 300));
      // Stored at the same time, by a master that had not read the log.
      await (await b.stores.of(owner)).put(chunks.slice(100, 300));
      await (await b.stores.of(owner)).put(chunks.slice(300));
      await (await a.stores.of(owner)).put([tree, ...next.blocks]);
      await a.swaps.swap({ owner, bucket: "next" }, { kind: "absent" }, next.commit.cid, NEVER);
      await clock.advance(LEASE_MS + 1_000);
      const theirs = await b.stores.of(owner);
      await theirs.era();
      const chunk = chunks[150] ?? tree;
      const counted = theirs.cache.find(digestOf(chunk.cid))?.pack ?? "";
      if (what === "damaged") await flipBitOf(world, chunk.bytes, counted);
      const reads = vi.spyOn(world.objects.of(owner), "getRanges");
      await b.collect(owner);
      expect(reads.mock.calls.length).toBeLessThan(20);
      for (let lease = 0; lease < 3; lease++) {
        await clock.advance(LEASE_MS + 1_000);
        reads.mockClear();
        await b.collect(owner);
      }
      expect(reads.mock.calls.length).toBeLessThan(5);
      await isWhole(world, next.commit.cid);
    },
  );

  test("a collection reads no copies of blocks in packs that stay", async () => {
    const { world, clock, a, b } = await twoMasters();
    const chunks = Array.from({ length: 300 }, (_, at) => blockOf("raw", noise(2_000, at)));
    const tree = nodeBlock("tree", ...chunks);
    const next = chain.make("next", undefined, { tree: tree.cid });
    await (await a.stores.of(owner)).put(chunks.slice(0, 160));
    // One block in ten is also in the first pack.
    await (await b.stores.of(owner)).put(chunks.slice(146));
    await (await a.stores.of(owner)).put([tree, ...next.blocks]);
    await a.swaps.swap({ owner, bucket: "next" }, { kind: "absent" }, next.commit.cid, NEVER);
    await clock.advance(LEASE_MS + 1_000);
    const reads = vi.spyOn(world.objects.of(owner), "getRanges");
    await a.collect(owner);
    expect(reads.mock.calls.length).toBeLessThan(5);
    expect(await states(world)).toEqual([0, 0, 0, 0]);
  });

  test("an object that no log names is deleted once nobody can enter it", async () => {
    const world = new SharedWorld(new ManualClock());
    const clock = world.clock as ManualClock;
    const a = world.master();
    const first = chain.make("one", undefined);
    await upload(a, first);
    await swap(a, undefined, first);
    await (await a.stores.of(owner)).writer.store([blockOf("raw", noise(100, 3))]);
    await clock.advance(2 * LEASE_MS);
    await a.collect(owner);
    expect(await objectCount(world)).toBe(2);
    await clock.advance(2 * LEASE_MS);
    await a.collect(owner);
    expect(await objectCount(world)).toBe(1);
  });

  test("an upload stores again what another master found in the store while it was being deleted", async () => {
    const { world, clock, a, b, first } = await twoMasters();
    const second = chain.make("two", first);
    await (await a.stores.of(owner)).writer.store(second.blocks);
    await clock.advance(4 * LEASE_MS);
    world.onStep = async (step) => {
      if (step !== "before delete") return;
      await adoptPacks(world.arbiter, owner, world.objects.of(owner));
      await upload(b, second);
      await swap(b, first, second);
    };
    await a.collect(owner);
    world.onStep = async () => {};
    expect(await objectCount(world)).toBe(2);
    await isWhole(world, second.commit.cid);
  });

  test("a listing that fails half way ends the collection, and no object is deleted", async () => {
    const world = new SharedWorld(new ManualClock());
    const clock = world.clock as ManualClock;
    const a = world.master();
    const first = chain.make("one", undefined);
    await upload(a, first);
    await swap(a, undefined, first);
    const { writer } = await a.stores.of(owner);
    for (const seed of [3, 4]) await writer.store([blockOf("raw", noise(100, seed))]);
    await clock.advance(4 * LEASE_MS);
    const objects = world.objects.of(owner);
    const whole = objects.list.bind(objects);
    objects.list = async function* (prefix) {
      let listed = 0;
      for await (const object of whole(prefix)) {
        if (listed++ === 2) throw new SynclineError("store_unreachable", "the listing broke off");
        yield object;
      }
    };
    await expect(a.collect(owner)).rejects.toMatchObject({ code: "store_unreachable" });
    objects.list = whole;
    expect(await objectCount(world)).toBe(3);
    await a.collect(owner);
    expect(await objectCount(world)).toBe(1);
  });

  test("a log that went back is noticed, and is read anew", async () => {
    const world = new SharedWorld();
    const a = world.master();
    const there = await a.stores.of(owner);
    await there.put([blockOf("raw", noise(100, 1))]);
    await there.era();
    const { packs } = world.arbiter;
    const after = packs.after.bind(packs);
    Object.assign(packs, {
      after: async (...call: Parameters<typeof after>) => ({ ...(await after(...call)), position: 0, entries: [] }),
    });
    await there.era();
    expect(world.wentBack).toEqual([owner]);
    expect(await there.has([blockOf("raw", noise(100, 1)).cid])).toEqual(new Set());
  });
});

/**
 * Random histories of three masters: uploads, swaps, collections that end at any step, clocks that jump by leases, uploads
 * that sleep. The same files come back again and again, so that swaps reach what was condemned.
 */
test("histories of uploads, swaps and killed collections never lose what a root reaches", async () => {
  const histories = process.env["SYNCLINE_TEST_ALL"] === undefined ? 12 : 2_000;
  const seen = { swaps: 0, refused: 0, killed: 0, collected: 0, restored: 0, deleted: 0 };
  for (let seed = 1; seed <= histories; seed++) await playHistory(seed, seen);
  // All of it has happened, or this test shows nothing.
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0);
});

type Seen = Record<"swaps" | "refused" | "killed" | "collected" | "restored" | "deleted", number>;

async function playHistory(seed: number, seen: Seen): Promise<void> {
  const pick = picker(seed);
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const masters = [world.master(), world.master(), world.master()] as const;
  const inUse: SharedMaster[] = [...masters];
  const any = () => inUse[pick(inUse.length)] ?? masters[0];
  const made = new Map<Cid, MadeCommit>();
  const asleep: MadeCommit[] = [];
  const current = async () => {
    const root = await world.arbiter.roots.get(NAME());
    return root && made.get(root.commit);
  };
  const trySwap = async (commit: MadeCommit) => {
    const from = await current();
    if (commit.commit.body.parent !== from?.commit.cid) return;
    try {
      await swap(any(), from, commit);
      seen.swaps++;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      seen.refused++;
    }
  };
  /** What others do in the middle of a step; only one step is interrupted at a time. */
  let isInterrupted = false;
  const interrupt = async (others: () => Promise<void>) => {
    if (isInterrupted || pick(2) === 0) return;
    isInterrupted = true;
    await others();
    isInterrupted = false;
  };
  const swapSleeper = async () => {
    const [sleeper] = asleep.splice(pick(Math.max(1, asleep.length)), 1);
    if (sleeper !== undefined) await trySwap(sleeper);
  };
  let left = Infinity;
  const collect = async () => {
    left = pick(3) === 0 ? pick(8) : Infinity;
    try {
      await any().collect(owner);
      seen.collected++;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      seen.killed++;
    }
  };
  const sleepBesideCollections = async () => {
    await collect();
    await clock.advance(pick(3) * LEASE_MS);
    await collect();
  };
  world.onStep = async (step) => {
    if (step === "before swap") return interrupt(sleepBesideCollections);
    if (step === "after restore") seen.restored++;
    if (step === "after delete") seen.deleted++;
    if (step === "before change") await interrupt(swapSleeper);
    if (left-- <= 0) throw new Killed();
  };
  for (let step = 0; step < 40; step++) {
    const work: Promise<void>[] = [];
    const publish = async () => {
      const next = chain.make(`file ${pick(4)}`, await current(), { timeNs: BigInt(seed * 1_000 + step) });
      made.set(next.commit.cid, next);
      await upload(any(), next);
      if (pick(2) === 0) asleep.push(next);
      else await trySwap(next);
    };
    if (pick(5) < 2) work.push(publish());
    if (pick(5) < 3) work.push(collect());
    if (pick(5) === 0) work.push(swapSleeper());
    await Promise.all(work);
    if (pick(2) === 0) await clock.advance(Math.floor((LEASE_MS * (1 + pick(5))) / 4));
    if (pick(12) === 0) inUse[pick(inUse.length)] = world.master();
    const root = await world.arbiter.roots.get(NAME());
    if (root !== undefined) await isWhole(world, root.commit);
  }
}

class Killed extends Error {}

function NAME() {
  return { owner, bucket: "demo" };
}

async function upload(master: SharedMaster, { blocks }: MadeCommit): Promise<void> {
  const there = await master.stores.of(owner);
  const stored = await there.has(blocks.map(({ cid }) => cid));
  await there.put(blocks.filter(({ cid }) => !stored.has(cid)));
}

async function swap(master: SharedMaster, from: MadeCommit | undefined, to: MadeCommit): Promise<void> {
  const condition: SwapCondition =
    from === undefined ? { kind: "absent" } : { kind: "present", roots: new Set([from.commit.cid]) };
  await master.swaps.swap(NAME(), condition, to.commit.cid, NEVER);
}

/** Reads all that a commit reaches, but its history, at a master that knows nothing yet. */
async function isWhole(world: SharedWorld, commit: Cid): Promise<void> {
  const there = await world.master().stores.of(owner);
  const seen = new Set<Cid>();
  const walk = async (cid: Cid): Promise<void> => {
    if (seen.has(cid)) return;
    seen.add(cid);
    const bytes = await there.get(cid);
    if (codecOf(cid) === "raw") return;
    for (const link of reachedLinks(cid, bytes, false).slice(0, 1_000)) await walk(link);
  };
  await walk(commit);
}

async function states(world: SharedWorld): Promise<number[]> {
  return (await world.arbiter.packs.after(owner, 0)).entries.map(({ state }) => state);
}

async function objectCount(world: SharedWorld): Promise<number> {
  const names = [];
  for await (const { name } of world.objects.of(owner).list("pack/")) names.push(name);
  return names.length;
}

function picker(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) >>> 0;
    return (state >>> 8) % below;
  };
}

/** As a disk does it: in the packs that hold these bytes, or in this one of them. */
async function flipBitOf(world: SharedWorld, bytes: Uint8Array, pack = ""): Promise<void> {
  const store = world.objects.of(owner);
  for await (const { name } of store.list(`pack/${pack}`)) {
    const there = await store.get(name);
    const at = there === undefined ? -1 : Buffer.from(there.bytes).indexOf(Buffer.from(bytes));
    if (there === undefined || at < 0) continue;
    const damaged = Buffer.from(there.bytes);
    damaged.writeUInt8(damaged.readUInt8(at + 9) ^ 4, at + 9);
    await store.putIfMatch(name, [damaged], there.token);
  }
}
