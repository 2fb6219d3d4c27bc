/** Packs that the store has lost, or whose footers are damaged, after their blocks were sent again. */
import { expect, test } from "vitest";
import { PACK_STATES, type PackState } from "../../../../src/arbiter/arbiter.ts";
import { digestOf } from "../../../../src/format/blocks/cid.ts";
import { objectOf, PAST_OBJECT } from "../../../../src/master/shared/pack-objects.ts";
import { auditShared } from "../../../../src/master/shared/shared-audit.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { LEASE_MS, SharedWorld } from "../../../support/shared-world.ts";

const HARMS = ["lost", "damaged"] as const;

/** A root whose only pack is harmed, and a master that starts then. */
async function harmed(how: (typeof HARMS)[number]) {
  const chain = await CommitChain.create();
  const owner = chain.owner.wallet;
  const clock = new ManualClock();
  const world = new SharedWorld(clock);
  const store = world.objects.of(owner);
  await world.objects.top.putNew(PAST_OBJECT, [Buffer.from(await world.arbiter.incarnation())]);
  const chunk = blockOf("raw", noise(100_000, 1));
  const tree = nodeBlock("tree", chunk);
  const made = chain.make("one", undefined, { tree: tree.cid });
  const first = world.master();
  const all = [...made.blocks, tree, chunk];
  await (await first.stores.of(owner)).put(all);
  const signal = new AbortController().signal;
  await first.swaps.swap({ owner, bucket: "demo" }, { kind: "absent" }, made.commit.cid, signal);
  const [{ pack = "" } = {}] = (await world.arbiter.packs.after(owner, 0)).entries;
  const intact = (await store.get(objectOf(pack)))?.bytes ?? new Uint8Array();
  const replace = async (bytes: Uint8Array) => {
    await store.delete(objectOf(pack));
    await store.putNew(objectOf(pack), [bytes]);
  };
  // In the rows before the trailer.
  await replace(Uint8Array.from(intact, (byte, at) => (at === intact.length - 60 ? byte ^ 1 : byte)));
  if (how === "lost") await store.delete(objectOf(pack));
  const master = world.master();
  const blocks = await master.stores.of(owner);
  await blocks.era();
  const collectLater = async () => {
    await clock.advance(LEASE_MS + 1_000);
    return master.collect(owner);
  };
  const damage = async () => {
    const report = await auditShared({ arbiter: world.arbiter, objects: world.objects, onBytes: () => {} });
    return report.damage.map(({ kind }) => kind);
  };
  const state = async (): Promise<PackState | undefined> =>
    (await world.arbiter.packs.after(owner, 0)).entries.find((entry) => entry.pack === pack)?.state;
  return { world, owner, store, all, chunk, blocks, collectLater, damage, state, restore: () => replace(intact) };
}

test.each(HARMS)("a pack that stays %s is condemned, and is no damage, once no root needs it", async (how) => {
  const { all, blocks, collectLater, damage, state } = await harmed(how);
  await expect(collectLater()).rejects.toMatchObject({ code: "store_corrupt" });
  expect(await state()).toBe(PACK_STATES.live);
  expect(await damage()).toContain("missing");
  await blocks.put(all);
  expect(await damage()).toEqual([how === "lost" ? "pack" : "footer"]);
  for (let lease = 0; lease < 3; lease++) await collectLater();
  expect(await damage()).toEqual([]);
  // Nobody knows what it holds.
  expect(await state()).toBe(PACK_STATES.condemned);
});

test.each(HARMS)("a pack that was %s for a while is live again if it then has the only intact copy", async (how) => {
  const { world, owner, store, all, chunk, blocks, collectLater, state, restore } = await harmed(how);
  await blocks.put(all);
  await collectLater();
  expect(await state()).toBe(PACK_STATES.condemned);
  const copy = objectOf(blocks.cache.find(digestOf(chunk.cid))?.pack ?? "");
  const { bytes = new Uint8Array() } = (await store.get(copy)) ?? {};
  const at = Buffer.from(bytes).indexOf(chunk.bytes);
  await store.delete(copy);
  await store.putNew(copy, [Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 1 : byte))]);
  await restore();
  for (let lease = 0; lease < 3; lease++) await collectLater();
  expect(await state()).toBe(PACK_STATES.live);
  const there = await world.master().stores.of(owner);
  expect(Buffer.compare(await there.get(chunk.cid), chunk.bytes)).toBe(0);
});

test("a young pack that cannot be read stays live: a root may need it soon", async () => {
  const { world, owner, store, all, blocks, collectLater } = await harmed("lost");
  await blocks.put(all);
  await collectLater();
  const young = blockOf("raw", noise(100, 3));
  const writer = await world.master().stores.of(owner);
  await writer.put([young]);
  const pack = writer.cache.find(digestOf(young.cid))?.pack ?? "";
  await store.delete(objectOf(pack));
  const fresh = world.master();
  await fresh.collect(owner);
  expect((await fresh.stores.of(owner)).cache.isUnread(pack)).toBe(true);
  const { entries } = await world.arbiter.packs.after(owner, 0);
  expect(entries.find((entry) => entry.pack === pack)?.state).toBe(PACK_STATES.live);
});
