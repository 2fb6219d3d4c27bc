/** Collections of a master's own store: what they take and what they must not, beside swaps and uploads, and when the process dies. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { Cid, Wallet } from "../../../src/base/ids.ts";
import { BLOCK_OVERHEAD_BYTES, MAX_WALK_DEPTH } from "../../../src/master/limits.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { CollectedMaster, LATER_MS, damageIn, publishNext, retaining } from "../../support/collected-master.ts";
import { CommitChain, type MadeCommit, nodeBlock } from "../../support/commit-chain.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { SimulatedPackDisk } from "../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

let dir: string;
let clock: ManualClock;
let chain: CommitChain;
let owner: Wallet;

beforeEach(async () => {
  dir = await temporaryFolder();
  clock = new ManualClock();
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
});

describe("a collection", () => {
  test("deletes what no retained root reaches once its lease is over, and frees the space", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const history = await publishMany(master, 30);
    const blocks = await master.blocksOf(owner);
    const used = blocks.usedBytes;
    const seen: { blocks: number; of: number }[] = [];
    const onProgress = (progress: { blocks: number; of: number }) => seen.push(progress);
    expect(await master.collect(owner, false, { onProgress })).toMatchObject({ blocks: 0, dropped: 0 });
    expect(seen.map((progress) => progress.blocks)).toEqual(seen.map(({ blocks }) => blocks).sort((a, b) => a - b));
    expect(seen.at(-1)?.of).toBeGreaterThan(seen.at(-1)?.blocks ?? Infinity);
    await clock.advance(LATER_MS);
    const planned = await master.collect(owner, true);
    expect(blocks.usedBytes).toBe(used);
    const report = await master.collect(owner);
    expect(report).toEqual({ ...planned, packs: { before: planned.packs.before, after: expect.any(Number) } });
    expect(Math.abs(report.packs.after - planned.packs.after)).toBeLessThan(2);
    expect(report.bytes.after).toBeLessThan(report.bytes.before / 3);
    expect(report.packs.after).toBeLessThan(report.packs.before);
    expect(blocks.usedBytes).toBe(used - report.blockBytes - report.blocks * BLOCK_OVERHEAD_BYTES);
    expect(await lost(master, history.slice(-2))).toEqual([]);
    expect(await blocks.has(history.slice(0, -2).map(chunkOf))).toEqual(new Set());
    expect(await master.collect(owner)).toMatchObject({ blocks: 0, dropped: 0 });
    expect(await master.damage()).toEqual([]);
  });

  test("deletes older commits' lists of retained commits; the next swap and an audit do without them", async () => {
    const history = await withMaster(async (master) => {
      const made = await publishMany(master, 8);
      await clock.advance(LATER_MS);
      await master.collect(owner);
      // The list of one that is retained, which itself names one that is gone.
      const list = made.at(-2)?.commit.body.kept as Cid;
      expect(await (await master.blocksOf(owner)).has([made[4]?.commit.cid as Cid])).toEqual(new Set());
      await clock.advance(LATER_MS);
      const next = retaining(chain, text("next"), made.at(-1), made.slice(-2));
      await master.publish(owner, "photos", next);
      await clock.advance(LATER_MS);
      await master.collect(owner);
      expect(await (await master.blocksOf(owner)).has([list])).toEqual(new Set());
      await master.publish(owner, "photos", retaining(chain, text("last"), next, [...made.slice(-2), next]));
      return made;
    });
    expect(history).toHaveLength(8);
    expect(await damageIn({ dir })).toEqual([]);
  });

  test("keeps the commits on the skip path, so that the next commits can be made and checked", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const history = await publishMany(master, 15);
    await clock.advance(LATER_MS);
    await master.collect(owner);
    const { skip } = history.at(-1)?.commit.body ?? {};
    expect(await (await master.blocksOf(owner)).has([skip as Cid])).toEqual(new Set([skip]));
    await master.publish(owner, "photos", retaining(chain, text("next"), history.at(-1), history.slice(-1)));
  });

  test("keeps blocks that were recently uploaded, leased or sent again", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const [first] = await publishMany(master, 1);
    const blocks = await master.blocksOf(owner);
    const [sent, asked, again, forgotten] = ["sent", "asked", "again", "forgotten"].map((label) =>
      nodeBlock(text(label)),
    );
    await blocks.put([asked, again, forgotten] as Block[]);
    await clock.advance(LATER_MS);
    await blocks.put([sent, again] as Block[]);
    await blocks.lease([asked?.cid as Cid]);
    expect(await master.collect(owner)).toMatchObject({ blocks: 1 });
    const cids = [sent, asked, again].map((block) => block?.cid as Cid);
    expect(await blocks.has([...cids, forgotten?.cid as Cid])).toEqual(new Set(cids));
    expect(await lost(master, [first as MadeCommit])).toEqual([]);
    await clock.advance(LATER_MS);
    expect(await master.collect(owner)).toMatchObject({ blocks: 3 });
  });

  test("is per owner: another owner's blocks stay, even identical ones", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const other = `0x${"b".repeat(40)}` as Wallet;
    const garbage = nodeBlock(text("garbage"));
    await publishMany(master, 1);
    for (const each of [owner, other]) await (await master.blocksOf(each)).put([garbage]);
    await clock.advance(LATER_MS);
    expect(await master.collect(owner)).toMatchObject({ blocks: 1 });
    expect(await (await master.blocksOf(owner)).has([garbage.cid])).toEqual(new Set());
    expect(await (await master.blocksOf(other)).has([garbage.cid])).toEqual(new Set([garbage.cid]));
    expect(await master.collect(`0x${"c".repeat(40)}` as Wallet)).toMatchObject({ blocks: 0, packs: { after: 0 } });
    expect(readdirSync(join(dir, "owners")).toSorted()).toEqual([owner, other].toSorted());
  });

  test("handles graphs of any depth, even deeper than one swap may add, built up in stages", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const blocks = await master.blocksOf(owner);
    const history: MadeCommit[] = [];
    const nodes: Block[] = [nodeBlock("end")];
    for (const stage of [1, 2, 3]) {
      while (nodes.length < stage * (MAX_WALK_DEPTH - 10))
        nodes.push(nodeBlock(`${nodes.length}`, nodes.at(-1) as Block));
      await blocks.put(nodes);
      const tree = nodes.at(-1)?.cid as Cid;
      const next = retaining(chain, `stage ${stage}`, history.at(-1), [], { tree });
      await master.publish(owner, "photos", next);
      history.push(next);
    }
    const garbage = nodeBlock("garbage");
    await blocks.put([garbage]);
    await clock.advance(LATER_MS);
    expect((await master.collect(owner)).blocks).toBeGreaterThan(0);
    expect(await blocks.has([garbage.cid])).toEqual(new Set());
    expect((await blocks.has(nodes.map(({ cid }) => cid))).size).toBe(nodes.length);
  });

  test("deletes nothing of an owner whose buckets lack a block", async () => {
    const disk = new SimulatedPackDisk();
    await using master = await CollectedMaster.open({ dir, clock, disk });
    const history = await publishMany(master, 3);
    const blocks = await master.blocksOf(owner);
    const place = chunkOf(history.at(-1) as MadeCommit);
    for (const { bytes } of disk.files.values()) {
      const at = Buffer.from(bytes).indexOf(Buffer.from(text("2")));
      if (at >= 0) bytes[at] = 1;
    }
    await expect(blocks.get(place)).rejects.toMatchObject({ code: "block_corrupt" });
    await clock.advance(LATER_MS);
    const used = blocks.usedBytes;
    await expect(master.collect(owner)).rejects.toMatchObject({ code: "store_corrupt" });
    expect(blocks.usedBytes).toBe(used);
    await blocks.put(history.at(-1)?.blocks ?? []);
    expect((await master.collect(owner)).blocks).toBeGreaterThan(0);
  });
});

describe("a swap after a collection", () => {
  test("to a root that reaches deleted blocks is refused until they are sent again", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const history = await publishMany(master, 4);
    await clock.advance(LATER_MS);
    await master.collect(owner);
    const old = history[0] as MadeCommit;
    const next = chain.make("reaches it", history.at(-1), { tree: old.commit.body.tree });
    await expect(master.publish(owner, "photos", next)).rejects.toMatchObject({ code: "missing_blocks" });
    await (await master.blocksOf(owner)).put(old.blocks);
    await master.swap(owner, "photos", next.commit);
    expect(await master.damage()).toEqual([]);
  });

  test("does not trust a leased node, once marked complete, above a block that was deleted", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const history = await publishMany(master, 4);
    const old = history[0] as MadeCommit;
    const { tree } = old.commit.body;
    await clock.advance(LATER_MS);
    const blocks = await master.blocksOf(owner);
    await blocks.lease([tree]);
    await master.collect(owner);
    expect(await blocks.has([tree, chunkOf(old)])).toEqual(new Set([tree]));
    const next = chain.make("reaches it", history.at(-1), { tree });
    const refused = master.publish(owner, "photos", next);
    await expect(refused).rejects.toMatchObject({ code: "missing_blocks", details: { missing: [chunkOf(old)] } });
  });

  test("that arrives during the sweep keeps the blocks that it checked", async () => {
    await using master = await CollectedMaster.open({ dir, clock });
    const history = await publishMany(master, 4);
    const old = history[0] as MadeCommit;
    await clock.advance(LATER_MS);
    const next = chain.make("reaches it", history.at(-1), { tree: old.commit.body.tree });
    const blocks = await master.blocksOf(owner);
    await blocks.put(next.blocks);
    const outcome = await blocks.collect(async (collecting) => {
      // As if all else were marked: what the swap reaches beyond its own blocks is not.
      collecting.beginSweep();
      await master.swap(owner, "photos", next.commit);
      return collecting.sweep(new AbortController().signal);
    });
    expect(outcome?.blocks).toBeGreaterThan(0);
    expect(await lost(master, [old, next])).toEqual(expect.not.arrayContaining([old.commit.body.tree, chunkOf(old)]));
  });
});

test("a collection killed at any disk call keeps everything that must stay, and an audit finds nothing", async () => {
  for (let at = 0, finished = false; !finished; at++) {
    dir = await temporaryFolder();
    clock = new ManualClock();
    const random = seededRandom(at);
    let disk = new SimulatedPackDisk();
    const { history, ended } = await withMaster(async (master) => {
      const made = await publishMany(master, 12);
      await clock.advance(LATER_MS);
      disk.stopAfter(at);
      const collected = master.collect(owner);
      const survived = await collected.then(
        () => true,
        () => false,
      );
      return { history: made, ended: survived };
    }, disk);
    finished = ended;
    disk = at % 2 === 0 ? disk.afterKill() : disk.afterPowerLoss(random);
    expect(await damageIn({ dir, disk }), `stopped at call ${at}`).toEqual([]);
    await withMaster(async (master) => {
      expect(await lost(master, history.slice(-2)), `stopped at call ${at}`).toEqual([]);
      await clock.advance(LATER_MS);
      await master.collect(owner);
      expect(await lost(master, history.slice(-2))).toEqual([]);
      expect(await (await master.blocksOf(owner)).has(history.slice(0, -2).map(chunkOf))).toEqual(new Set());
    }, disk);
    expect(await damageIn({ dir, disk })).toEqual([]);
  }
}, 300_000);

function withMaster<Result>(work: (master: CollectedMaster) => Promise<Result>, disk?: SimulatedPackDisk) {
  return CollectedMaster.within({ dir, clock, ...(disk === undefined ? {} : { disk }) }, work);
}

/** Commits each of which retains the one before alone. */
async function publishMany(master: CollectedMaster, count: number): Promise<MadeCommit[]> {
  const history: MadeCommit[] = [];
  for (let index = 0; index < count; index++) await publishNext(master, chain, history, text(`${index}`));
  return history;
}

/** Contents of some size that begin with a label. */
function text(label: string): string {
  return `${label} ${"x".repeat(2_000)}`;
}

function chunkOf({ blocks }: MadeCommit): Cid {
  return blocks.find(({ cid }) => cid.startsWith("bafk"))?.cid as Cid;
}

/** What of these commits' own blocks is not there or not as it was, but for their lists. */
async function lost(master: CollectedMaster, commits: readonly MadeCommit[]): Promise<Cid[]> {
  const blocks = await master.blocksOf(owner);
  const gone: Cid[] = [];
  for (const { commit, blocks: own } of commits) {
    for (const { cid, bytes } of own) {
      const found = await blocks.get(cid).catch(() => undefined);
      if (cid !== commit.body.kept && (found === undefined || Buffer.compare(found, bytes) !== 0)) gone.push(cid);
    }
  }
  return gone;
}
