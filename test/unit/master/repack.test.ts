/** How a collection at a master gives space back: in small steps, from what costs nothing on, on full and failing disks too. */
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { nextTurn } from "../../../src/base/concurrency.ts";
import type { Cid, Wallet } from "../../../src/base/ids.ts";
import { INDEX_STEP } from "../../../src/master/limits.ts";
import type { Block } from "../../../src/blocks/block-store.ts";
import { BlockIndex } from "../../../src/master/store/block-index.ts";
import { IndexMarks } from "../../../src/master/store/index-marks.ts";
import { isFull } from "../../../src/master/store/open-pack.ts";
import { CollectedMaster, LATER_MS, damageIn, retaining } from "../../support/collected-master.ts";
import { blockOf, CommitChain, type MadeCommit, nodeBlock } from "../../support/commit-chain.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { SimulatedPackDisk } from "../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { systemError } from "../../support/watched-disk.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

let dir: string;
let clock: ManualClock;
let disk: SimulatedPackDisk;
let chain: CommitChain;
let owner: Wallet;

beforeEach(async () => {
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
  await renew();
});
afterEach(() => vi.restoreAllMocks());

describe("packs of tiny blocks", () => {
  test("are rewritten in steps that let other work proceed", async () => {
    await using master = await opened(1_000_000);
    const blocks = await master.blocksOf(owner);
    const tiny = Array.from({ length: 6_000 }, (_, index) => blockOf("raw", Buffer.from(`${index}`)));
    await blocks.put(tiny);
    await publishOne(master, "root", 100);
    await clock.advance(LATER_MS);
    const kept = tiny.filter((_, index) => index % 2 > 0).map(({ cid }) => cid);
    await blocks.lease(kept);
    const find = vi.spyOn(BlockIndex.prototype, "find");
    const add = vi.spyOn(BlockIndex.prototype, "add");
    let most = 0;
    const another = { over: false };
    const watching = (async () => {
      for (; !another.over; await nextTurn()) {
        most = Math.max(most, find.mock.calls.length);
        find.mockClear();
      }
    })();
    expect(await master.collect(owner)).toMatchObject({ blocks: 3_000, dropped: 1 });
    another.over = true;
    await watching;
    expect(Math.max(...add.mock.calls.map(([, rows]) => [...rows].length))).toBe(INDEX_STEP);
    expect(most).toBeLessThanOrEqual(3 * INDEX_STEP);
    expect((await blocks.has(kept)).size).toBe(kept.length);
  });

  test("count as full before their footers get slow to read", () => {
    expect(isFull(1_000, 1_000, 1 << 24)).toBe(false);
    expect(isFull(100_000, 100_000, 1 << 24)).toBe(true);
  });
});

describe("packs written while a collection sweeps", () => {
  test("are not taken for garbage", async () => {
    await using master = await opened();
    const blocks = await master.blocksOf(owner);
    await blocks.put([textBlock("before", 9_000)]);
    const { swept, plan, done } = await sweepWith(master, async () => {
      for (let index = 0; index < 10; index++) await blocks.put([textBlock(`${index}`, 8_000)]);
    });
    expect(swept.blocks).toBe(0);
    expect(plan.packs).toEqual(new Map());
    expect(done.after.bytes).toBe(done.before.bytes);
  });

  test("blocks added to a pack that has garbage do not count as garbage", async () => {
    await using master = await opened();
    const blocks = await master.blocksOf(owner);
    const garbage = textBlock("garbage", 3_000);
    await blocks.put([garbage]);
    await clock.advance(LATER_MS);
    const { plan, done } = await sweepWith(master, () => blocks.put([textBlock("later", 4_000)]));
    expect([...plan.packs.values()]).toEqual([textBlock("later", 4_000).bytes.length]);
    expect(done.before.bytes - done.after.bytes).toBe(garbage.bytes.length);
    expect(await blocks.has([textBlock("later", 4_000).cid])).toEqual(new Set([textBlock("later", 4_000).cid]));
  });

  test("a block of zero bytes survives: its pack does not count as empty", async () => {
    await using master = await opened();
    const blocks = await master.blocksOf(owner);
    const empty = blockOf("raw", new Uint8Array());
    await blocks.put([textBlock("garbage", 19_000), empty]);
    await blocks.put([textBlock("more garbage", 19_000)]);
    await publishOne(master, "root", 100);
    await clock.advance(LATER_MS);
    await blocks.lease([empty.cid]);
    expect((await master.collect(owner)).dropped).toBeGreaterThan(0);
    expect((await blocks.get(empty.cid)).length).toBe(0);
  });
});

describe("on a full disk", () => {
  test("empty packs go first, and make room for copies of the rest", async () => {
    await using master = await opened();
    const history = await publishMany(master, 20);
    await clock.advance(LATER_MS);
    disk.capacity = used();
    const before = used();
    const report = await master.collect(owner);
    expect(report.repackedBytes).toBeGreaterThan(0);
    expect(report.dropped).toBeGreaterThan(4);
    expect(used()).toBeLessThan(before / 2);
    expect(await lost(master, [history[0], history.at(-1)])).toEqual([]);
    expect(await master.damage()).toEqual([]);
  });

  test("without a pack that can go for free, everything stays until there is space", async () => {
    await using master = await opened();
    const blocks = await master.blocksOf(owner);
    const kept: Cid[] = [];
    for (let index = 0; index < 6; index++) {
      const [live, garbage] = [textBlock(`live ${index}`, 7_000), textBlock(`garbage ${index}`, 14_000)];
      await blocks.put([live, garbage]);
      kept.push(live.cid);
    }
    const root = await publishOne(master, "root", 100);
    await clock.advance(LATER_MS);
    await blocks.lease(kept);
    disk.capacity = used();
    expect(await master.collect(owner)).toMatchObject({ blocks: 6, dropped: 0 });
    expect((await blocks.has(kept)).size).toBe(6);
    disk.capacity = Infinity;
    expect((await master.collect(owner)).dropped).toBeGreaterThanOrEqual(6);
    expect((await blocks.getMany(kept)).size).toBe(6);
    expect(await lost(master, [root])).toEqual([]);
    expect(await master.damage()).toEqual([]);
  });

  test("packs that an earlier collection emptied go even when no index can be written", async () => {
    await using master = await opened();
    const blocks = await master.blocksOf(owner);
    for (let index = 0; index < 5; index++) await blocks.put([textBlock(`${index}`, 20_000)]);
    await clock.advance(LATER_MS);
    const root = await publishOne(master, "root", 100);
    await sweepWith(master, async () => {}, false);
    const before = used();
    const [full, calls] = [new Database.SqliteError("database or disk is full", "SQLITE_FULL"), { left: 1 }];
    const { begin } = IndexMarks.prototype;
    vi.spyOn(IndexMarks.prototype, "begin").mockImplementation(function (this: IndexMarks) {
      if (calls.left-- > 0) throw full;
      return begin.call(this);
    });
    for (const call of ["setState", "flush", "forgetPack"] as const) {
      vi.spyOn(BlockIndex.prototype, call).mockImplementation(() => {
        throw full;
      });
    }
    await master.collect(owner);
    expect(used()).toBeLessThan(before - 90_000);
    vi.restoreAllMocks();
    expect(await lost(master, [root])).toEqual([]);
    expect(await master.damage()).toEqual([]);
    await using again = await opened();
    expect(await lost(again, [root])).toEqual([]);
    expect(await again.collect(owner)).toMatchObject({ dropped: 0 });
  });
});

test("removing many packs takes only a few index flushes", async () => {
  await using master = await opened();
  const blocks = await master.blocksOf(owner);
  await publishOne(master, "root", 100);
  for (let index = 0; index < 40; index++) await blocks.put([textBlock(`${index}`, 20_000)]);
  await clock.advance(LATER_MS);
  const flush = vi.spyOn(BlockIndex.prototype, "flush");
  expect((await master.collect(owner)).dropped).toBeGreaterThanOrEqual(39);
  expect(flush.mock.calls.length).toBeLessThanOrEqual(3);
  expect(await master.damage()).toEqual([]);
});

test.each(["ENOSPC", "EIO"] as const)(
  "%s at any disk call, then a kill, costs a collection nothing that must stay, and the next one finishes it",
  async (code) => {
    for (let at = 0, met = true; met; at += HEAVY ? 1 : 13) {
      await renew();
      met = false;
      let history: MadeCommit[] = [];
      {
        await using master = await opened();
        history = await publishMany(master, 8);
        await clock.advance(LATER_MS);
        let left = at;
        disk.before = () => {
          if (left-- !== 0) return;
          met = true;
          throw systemError(code);
        };
        await master.collect(owner).catch(() => {});
        disk.stopAfter(0);
      }
      disk = disk.afterKill();
      expect(await damageIn({ dir, disk }), `at call ${at}`).toEqual([]);
      await using master = await opened();
      expect(await lost(master, [history[0], history.at(-1)]), `at call ${at}`).toEqual([]);
      await master.collect(owner);
      expect(await lost(master, [history[0], history.at(-1)]), `at call ${at}`).toEqual([]);
      expect(await master.damage(), `at call ${at}`).toEqual([]);
    }
  },
  300_000,
);

async function renew(): Promise<void> {
  dir = await temporaryFolder();
  clock = new ManualClock();
  disk = new SimulatedPackDisk();
}

function opened(packBytes = 20_000): Promise<CollectedMaster> {
  return CollectedMaster.open({ dir, clock, disk, packBytes });
}

/** Sweeps as if all that must stay were leased, has something come then, and goes on. */
async function sweepWith(master: CollectedMaster, meanwhile: () => Promise<unknown>, repacks = true) {
  const { signal } = new AbortController();
  const outcome = await (
    await master.blocksOf(owner)
  ).collect(async (collecting) => {
    collecting.beginSweep();
    const swept = await collecting.sweep(signal);
    await meanwhile();
    const plan = collecting.plan(swept);
    return { swept, plan, done: repacks ? await collecting.repack(plan, swept, signal) : plan };
  });
  if (outcome === undefined) throw new Error("nothing is stored");
  return outcome;
}

async function publishOne(master: CollectedMaster, label: string, size: number): Promise<MadeCommit> {
  const made = retaining(chain, `${label} ${"x".repeat(size)}`, undefined, []);
  await master.publish(owner, "photos", made);
  return made;
}

/** Commits each of which retains the first one alone. */
async function publishMany(master: CollectedMaster, count: number): Promise<MadeCommit[]> {
  const history: MadeCommit[] = [];
  for (let index = 0; index < count; index++) {
    const next = retaining(chain, `${index} ${"x".repeat(7_000)}`, history.at(-1), history.slice(0, 1));
    await master.publish(owner, "photos", next);
    history.push(next);
  }
  return history;
}

function textBlock(label: string, size: number): Block {
  return nodeBlock(`${label} ${"x".repeat(size)}`);
}

function used(): number {
  return [...disk.files.values()].reduce((sum, { size }) => sum + size, 0);
}

/** What of these commits' own blocks is not there or not as it was, but for their lists. */
async function lost(master: CollectedMaster, commits: readonly (MadeCommit | undefined)[]): Promise<Cid[]> {
  const blocks = await master.blocksOf(owner);
  const gone: Cid[] = [];
  for (const made of commits) {
    for (const { cid, bytes } of made?.blocks ?? []) {
      const found = await blocks.get(cid).catch(() => undefined);
      const isList = cid === made?.commit.body.kept;
      if (!isList && (found === undefined || Buffer.compare(found, bytes) !== 0)) gone.push(cid);
    }
  }
  return gone;
}
