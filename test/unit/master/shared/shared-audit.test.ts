/** What `syncline verify --arbiter` finds in the packs, the log and the roots of several masters. */
import { beforeEach, describe, expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { objectOf, PAST_OBJECT } from "../../../../src/master/shared/pack-objects.ts";
import { auditShared } from "../../../../src/master/shared/shared-audit.ts";
import type { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain, type MadeCommit } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { LEASE_MS, type SharedMaster, SharedWorld } from "../../../support/shared-world.ts";

const NAME = { owner: "", bucket: "photos" };
let clock: ManualClock;
let world: SharedWorld;
let master: SharedMaster;
let owner: Wallet;
let store: MemoryObjectStore;
/** In its own pack, above a file's blocks. */
let first: MadeCommit;
let pack: string;

beforeEach(async () => {
  clock = new ManualClock();
  world = new SharedWorld(clock);
  master = world.master();
  const chain = await CommitChain.create();
  owner = chain.owner.wallet;
  store = world.objects.of(owner);
  first = chain.make("one", undefined);
  await put(first.blocks);
  await world.arbiter.roots.swap({ ...NAME, owner }, undefined, first.commit.cid);
  const { entries } = await world.arbiter.packs.after(owner, 0);
  pack = entries[0]?.pack ?? "";
  await world.objects.top.putNew(PAST_OBJECT, [Buffer.from(await world.arbiter.incarnation())]);
});

async function put(blocks: MadeCommit["blocks"]): Promise<void> {
  await (await master.stores.of(owner)).put(blocks);
}

/** Replaces a pack's bytes, behind the masters' back. */
async function alter(change: (bytes: Uint8Array) => Uint8Array | undefined): Promise<void> {
  const there = await store.get(objectOf(pack));
  await store.delete(objectOf(pack));
  const bytes = change(there?.bytes ?? new Uint8Array());
  if (bytes !== undefined) await store.putNew(objectOf(pack), [bytes]);
}

const audit = (onBytes: (bytes: number) => void = () => {}) =>
  auditShared({ arbiter: world.arbiter, objects: world.objects, onBytes });

async function kinds(): Promise<string[]> {
  const { damage } = await audit();
  return [...new Set(damage.map(({ kind }) => kind))].toSorted();
}

describe("an audit of shared storage", () => {
  test("finds nothing wrong in what masters wrote, and counts it", async () => {
    const blocks = first.blocks.length;
    const bytes = first.blocks.reduce((sum, block) => sum + block.bytes.length, 0);
    const counts = { owners: 1, buckets: 1, packs: 1, blocks, bytes, orphans: 0 };
    expect(await audit()).toEqual({ ...counts, damage: [] });
  });

  test("a pack that is missing is named, and the root that needs it", async () => {
    await alter(() => undefined);
    const { damage } = await audit();
    expect(damage).toMatchObject([
      { kind: "pack", owner, pack },
      { kind: "missing", owner, bucket: "photos", root: first.commit.cid, cid: first.commit.cid },
    ]);
  });

  test("a pack that was cut has no footer", async () => {
    await alter((bytes) => bytes.slice(0, -10));
    expect(await kinds()).toEqual(["footer", "missing"]);
  });

  test("a pack whose footer lies on a bad sector is named, and the root that needs it", async () => {
    store.getTail = async () => {
      throw new SynclineError("block_corrupt", "a bad sector");
    };
    expect(await kinds()).toEqual(["footer", "missing"]);
  });

  test("a flipped byte damages its block, and each root that reaches it", async () => {
    await alter((bytes) => Uint8Array.from(bytes, (byte, index) => (index === 3 ? byte ^ 1 : byte)));
    expect(await kinds()).toEqual(["block", "missing"]);
  });

  test("a damaged copy does not count while another pack has the block intact", async () => {
    await alter((bytes) => Uint8Array.from(bytes, (byte, index) => (index === 3 ? byte ^ 1 : byte)));
    const healing = world.master();
    const blocks = await healing.stores.of(owner);
    for (const { cid } of first.blocks) await blocks.get(cid).catch(() => {});
    await blocks.put(first.blocks);
    expect(await audit()).toMatchObject({ packs: 2, damage: [] });
  });

  test("a root that reaches nothing is damage", async () => {
    const lost = (await CommitChain.create(2)).make("lost", undefined);
    await world.arbiter.roots.swap({ owner, bucket: "lost" }, undefined, lost.commit.cid);
    const { damage } = await audit();
    expect(damage).toMatchObject([{ kind: "missing", bucket: "lost", cid: lost.commit.cid }]);
  });

  test("objects that no log names are counted, and are no damage", async () => {
    await store.putNew(objectOf("0".repeat(32)), [noise(100, 1)]);
    expect(await audit()).toMatchObject({ orphans: 1, damage: [] });
  });

  test("a log that states another size is damage", async () => {
    const { after } = world.arbiter.packs;
    world.arbiter.packs.after = async (...call) => {
      const page = await after(...call);
      return { ...page, entries: page.entries.map((entry) => Object.assign(entry, { bytes: entry.bytes - 1 })) };
    };
    expect(await kinds()).toEqual(["log"]);
  });

  test("a store of another arbiter is damage, and names the way to accept it", async () => {
    world.arbiter.incarnation = async () => "another";
    const { damage } = await audit();
    expect(damage).toMatchObject([{ kind: "log", what: expect.stringContaining("syncline serve --accept-roots") }]);
  });

  test("a store that does not answer is an error, not damage", async () => {
    store.getRanges = async () => {
      throw new Error("away");
    };
    await expect(audit()).rejects.toThrow("away");
  });

  test("a pack that is condemned and deleted meanwhile is no damage", async () => {
    const garbage = blockOf("raw", noise(50_000, 7));
    await put([garbage]);
    const { getTail } = store;
    let reads = 0;
    store.getTail = async (name, length) => {
      reads++;
      for (let lease = 0; name !== objectOf(pack) && lease < 2; lease++) {
        await clock.advance(LEASE_MS + 1_000);
        await master.collect(owner);
      }
      return getTail.call(store, name, length);
    };
    expect(await audit()).toMatchObject({ packs: 1, damage: [], orphans: 0 });
    expect(reads).toBe(3);
  });
});
