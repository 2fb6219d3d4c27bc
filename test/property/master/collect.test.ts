/**
 * Histories at a master of random publications, stale and hostile swaps, uploads, leases, collections beside them, kills and restarts, against
 * a model: a swap is accepted only if all that it reaches is there, and all that a root retains stays there.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { Refusal } from "../../../src/master/http/refusal.ts";
import { CollectedMaster, damageIn, LEASE_SECONDS, retaining } from "../../support/collected-master.ts";
import { CommitChain, type MadeCommit } from "../../support/commit-chain.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { SimulatedPackDisk } from "../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const BUCKET = "photos";

type Action =
  | { readonly do: "publish"; readonly kept: number; readonly size: number }
  /** A commit on the current root that takes over an older commit's tree, and sends only itself. */
  | { readonly do: "resurrect"; readonly of: number }
  | { readonly do: "lease"; readonly of: number }
  | { readonly do: "send again"; readonly of: number }
  | { readonly do: "wait"; readonly leases: number }
  | { readonly do: "collect" };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("publish" as const), kept: fc.nat(3), size: fc.nat(6_000) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("resurrect" as const), of: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lease" as const), of: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("send again" as const), of: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wait" as const), leases: fc.constantFrom(0.6, 1.2, 1.2) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("collect" as const) }) },
);

/** Actions that are begun together, and how it ends: whether the process goes on, is started again, or killed at some call of the disk. */
const round = fc.record({
  actions: fc.array(action, { minLength: 1, maxLength: 4 }),
  end: fc.constantFrom("on", "on", "on", "restart", "kill", "power"),
  calls: fc.nat(60),
});
type Round = typeof round extends fc.Arbitrary<infer Each> ? Each : never;

/** A pack was killed as it got its footer, which then was in the system's memory alone: after a power loss behind the next start it was gone, with its journal. */
const FOOTER_IN_MEMORY: [Round[], number] = [
  [
    { actions: [{ do: "publish", kept: 0, size: 0 }, { do: "collect" }], end: "on", calls: 0 },
    {
      actions: [
        { do: "publish", kept: 0, size: 0 },
        { do: "resurrect", of: 0 },
      ],
      end: "on",
      calls: 0,
    },
    {
      actions: [
        { do: "resurrect", of: 0 },
        { do: "wait", leases: 1.2 },
      ],
      end: "on",
      calls: 0,
    },
    {
      actions: [{ do: "collect" }, { do: "resurrect", of: 0 }, { do: "publish", kept: 0, size: 0 }, { do: "collect" }],
      end: "kill",
      calls: 41,
    },
    { actions: [{ do: "lease", of: 0 }], end: "power", calls: 0 },
    { actions: [{ do: "resurrect", of: 0 }], end: "on", calls: 0 },
    { actions: [{ do: "publish", kept: 0, size: 0 }], end: "on", calls: 0 },
    { actions: [{ do: "wait", leases: 0.6 }], end: "on", calls: 0 },
    { actions: [{ do: "wait", leases: 0.6 }], end: "on", calls: 0 },
    { actions: [{ do: "wait", leases: 0.6 }], end: "on", calls: 0 },
    { actions: [{ do: "collect" }], end: "on", calls: 0 },
    { actions: [{ do: "publish", kept: 0, size: 0 }], end: "on", calls: 0 },
  ],
  3,
];

test(
  "whatever is swapped, sent and collected at once, no root reaches a missing block",
  { timeout: 900_000 },
  async () => {
    const rounds = fc.array(round, { minLength: 8, maxLength: HEAVY ? 30 : 14, size: "max" });
    const happened = { swapped: 0, refused: 0, collected: 0, died: 0 };
    await fc.assert(
      fc.asyncProperty(rounds, fc.nat(), async (all, seed) => {
        const world = await World.open(seed, happened);
        for (const each of all) expect(await world.play(each)).toEqual([]);
        expect(await world.end()).toEqual([]);
      }),
      { numRuns: HEAVY ? 300 : 15, examples: [FOOTER_IN_MEMORY] },
    );
    // Else it would not have tried what it is about.
    for (const count of Object.values(happened)) expect(count).toBeGreaterThan(3);
  },
);

/** What came about in all worlds: swaps, those that were refused for what is missing, blocks that were collected, processes that died. */
type Happened = Record<"swapped" | "refused" | "collected" | "died", number>;

class World {
  readonly #chain: CommitChain;
  readonly #clock = new ManualClock();
  readonly #dir: string;
  readonly #random: ReturnType<typeof seededRandom>;
  readonly #made: MadeCommit[] = [];
  /** Commit → those that it retains, and what of its blocks is its own. */
  readonly #kept = new Map<Cid, readonly MadeCommit[]>();
  #disk = new SimulatedPackDisk();
  #master: CollectedMaster | undefined;
  readonly #happened: Happened;
  #number = 0;

  private constructor(chain: CommitChain, dir: string, seed: number, happened: Happened) {
    this.#chain = chain;
    this.#happened = happened;
    this.#dir = dir;
    this.#random = seededRandom(seed);
  }

  static async open(seed: number, happened: Happened): Promise<World> {
    return new World(await CommitChain.create(), await temporaryFolder(), seed, happened);
  }

  /** What is wrong afterwards. */
  async play({ actions, end, calls }: { actions: readonly Action[]; end: string; calls: number }): Promise<string[]> {
    const master = await this.#ready();
    const dies = end === "kill" || end === "power";
    if (dies) this.#disk.stopAfter(calls);
    // In their turns of the event loop they meet at every await.
    await Promise.all(actions.map((one) => this.#do(master, one, dies)));
    const damage: string[] = [];
    if (dies) {
      this.#happened.died++;
      await master[Symbol.asyncDispose]().catch(() => {});
      this.#master = undefined;
      this.#disk = end === "kill" ? this.#disk.afterKill() : this.#disk.afterPowerLoss(this.#random);
      damage.push(...(await damageIn({ dir: this.#dir, disk: this.#disk })));
    } else if (end === "restart") damage.push(...(await this.end()));
    return [...damage, ...(await this.#lost())];
  }

  async end(): Promise<string[]> {
    const damage = (await this.#master?.damage()) ?? [];
    this.#master = undefined;
    return damage;
  }

  async #do(master: CollectedMaster, action: Action, dies: boolean): Promise<void> {
    try {
      await this.#attempt(master, action);
    } catch (error) {
      // Of those that swap at once one wins; who reaches what was taken is refused.
      if (error instanceof Refusal && error.code === "missing_blocks") this.#happened.refused++;
      if (error instanceof Refusal && ["conflict", "missing_blocks", "not_descendant"].includes(error.code)) return;
      if (!dies) throw error;
    }
  }

  async #attempt(master: CollectedMaster, action: Action): Promise<void> {
    const { wallet } = this.#chain.owner;
    const current = await this.#current(master);
    const blocks = await master.blocksOf(wallet);
    switch (action.do) {
      case "publish": {
        const line = this.#lineOf(current);
        const kept = line.slice(-1 - action.kept);
        const label = `${++this.#number} ${"x".repeat(action.size)}`;
        return this.#swap(master, retaining(this.#chain, label, current, kept), kept, true);
      }
      case "resurrect": {
        const old = this.#anyMade(action.of);
        if (old === undefined || current === undefined) return;
        const { tree } = old.commit.body;
        const next = retaining(this.#chain, `${++this.#number}`, current, [current], { tree });
        return this.#swap(master, next, [current], false);
      }
      case "lease":
        return blocks.lease((this.#anyMade(action.of)?.blocks ?? []).map(({ cid }) => cid));
      case "send again": {
        const sent = this.#anyMade(action.of)?.blocks ?? [];
        await blocks.put(sent);
        return;
      }
      case "wait":
        return this.#clock.advance(action.leases * LEASE_SECONDS * 1000);
      case "collect":
        this.#happened.collected += (await master.collect(wallet)).blocks;
    }
  }

  async #swap(master: CollectedMaster, next: MadeCommit, kept: readonly MadeCommit[], whole: boolean): Promise<void> {
    this.#made.push(next);
    this.#kept.set(next.commit.cid, kept);
    const { wallet } = this.#chain.owner;
    const { commit } = next;
    const sent = whole ? next.blocks : next.blocks.filter(({ cid }) => cid === commit.cid || cid === commit.body.kept);
    await (await master.blocksOf(wallet)).put(sent);
    await master.swap(wallet, BUCKET, commit);
    this.#happened.swapped++;
  }

  /** What the root and those that it retains reach, and is not there byte for byte. */
  async #lost(): Promise<string[]> {
    const master = await this.#ready();
    const root = await this.#current(master);
    if (root === undefined) return [];
    const lost: string[] = [];
    const blocks = await master.blocksOf(this.#chain.owner.wallet);
    const known = new Map(this.#made.flatMap((made) => made.blocks.map(({ cid, bytes }) => [cid, bytes] as const)));
    for (const commit of [root, ...(this.#kept.get(root.commit.cid) ?? [])]) {
      const { tree, policy, genesis } = commit.commit.body;
      const treeOf = this.#made.find((made) => made.blocks.some(({ cid }) => cid === tree));
      const chunk = treeOf?.blocks.find(({ cid }) => cid.startsWith("bafk"))?.cid as Cid;
      for (const cid of [commit.commit.cid, tree, chunk, policy, genesis, commit.commit.certificate]) {
        const found = await blocks.get(cid).catch(() => undefined);
        if (found === undefined || Buffer.compare(found, known.get(cid) ?? Buffer.alloc(0)) !== 0)
          lost.push(`lost ${cid}`);
      }
    }
    return lost;
  }

  async #current(master: CollectedMaster): Promise<MadeCommit | undefined> {
    const root = await master.swaps.read({ owner: this.#chain.owner.wallet, bucket: BUCKET });
    return this.#made.find(({ commit }) => commit.cid === root?.commit);
  }

  #lineOf(commit: MadeCommit | undefined): MadeCommit[] {
    const kept = commit === undefined ? [] : (this.#kept.get(commit.commit.cid) ?? []);
    return commit === undefined ? [] : [...kept, commit];
  }

  #anyMade(of: number): MadeCommit | undefined {
    return this.#made[of % Math.max(1, this.#made.length)];
  }

  async #ready(): Promise<CollectedMaster> {
    const [disk, dir, clock] = [this.#disk, this.#dir, this.#clock];
    this.#master ??= await CollectedMaster.open({ dir, clock, disk, random: this.#random });
    return this.#master;
  }
}
