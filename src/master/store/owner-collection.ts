/**
 * A collection in one owner's packs. Marks are numbers in the index. Blocks neither marked nor leased are deleted from it,
 * a step at a time; then packs with more than a quarter of garbage are rewritten.
 */
import { nextTurn } from "../../base/concurrency.ts";
import type { Cid } from "../../base/ids.ts";
import { INDEX_STEP } from "../limits.ts";
import { isWorthRewriting } from "../../packs/rewriting.ts";
import { codecOf, digestOf } from "../../format/blocks/cid.ts";
import { PACK_STATES } from "./block-index.ts";
import type { KnownRoots } from "./known-roots.ts";
import type { Leases } from "./leases.ts";
import type {
  Collecting,
  CollectionProgress,
  FiledBlocks,
  RepackPlan,
  Swept,
  SweptPack,
  WalkedBlocks,
} from "./owner-blocks.ts";
import { Repacking, type RepackingOptions } from "./repacking.ts";

export interface OwnerCollectionOptions extends RepackingOptions {
  readonly blocks: FiledBlocks;
  readonly leases: Leases;
  readonly signal: AbortSignal;
  /** Called before it deletes blocks, with its number: blocks marked with that number stay. */
  readonly onSweep: (collection: number) => void;
}

export class OwnerCollection implements Collecting {
  readonly marks: WalkedBlocks;
  readonly roots: KnownRoots;
  readonly signal: AbortSignal;
  readonly #options: OwnerCollectionOptions;
  readonly #number: number;
  readonly #of: number;
  #marked = 0;

  constructor(options: OwnerCollectionOptions) {
    const { index, blocks } = options;
    this.#options = options;
    this.#number = index.marks.begin();
    this.#of = index.totals().blocks;
    this.roots = index.roots;
    this.signal = options.signal;
    this.marks = {
      get: (cid) => blocks.get(cid),
      size: (cid) => blocks.size(cid),
      complete: async (cids) => new Set(cids.filter((cid) => this.#isMarked(cid))),
      markComplete: async (cids) => void (this.#marked += index.marks.markNodes(cids.map(digestOf), this.#number)),
      hold: async (cids) => {
        const there = await blocks.has(cids);
        const chunks = [...there].filter((cid) => codecOf(cid) === "raw");
        this.#marked += index.marks.markReached(chunks.map(digestOf), this.#number);
        return there;
      },
    };
  }

  get progress(): CollectionProgress {
    return { blocks: this.#marked, of: Math.max(this.#marked, this.#of) };
  }

  async protect(cids: readonly Cid[]): Promise<void> {
    this.#marked += this.#options.index.marks.markReached(cids.map(digestOf), this.#number);
  }

  isProtected(cid: Cid): boolean {
    return this.#options.index.marks.isReached(digestOf(cid), this.#number);
  }

  beginSweep(): void {
    this.#options.index.marks.beginEra(this.#number);
    this.#options.onSweep(this.#number);
  }

  sweep(signal: AbortSignal): Promise<Swept> {
    return this.#sweep(false, signal);
  }

  preview(signal: AbortSignal): Promise<Swept> {
    return this.#sweep(true, signal);
  }

  plan(swept: Swept): RepackPlan {
    const packs = this.#packs();
    const going = new Map<string, number>();
    for (const { name, end } of packs) {
      const { end: sweptEnd, live } = swept.packs.get(name) ?? { end: 0, live: 0 };
      // Later additions are not garbage.
      const staying = end - (sweptEnd - live);
      if (isWorthRewriting({ bytes: end, live: staying })) going.set(name, staying);
    }
    return planOf(packs, going);
  }

  async repack(plan: RepackPlan, swept: Swept, signal: AbortSignal): Promise<RepackPlan> {
    const packs = this.#packs();
    const done = await new Repacking(this.#options, swept.packs, signal).run(plan.packs);
    const outcome = planOf(packs, new Map([...plan.packs].filter(([name]) => done.has(name))));
    // Excludes what uploads added meanwhile.
    return { ...outcome, after: { packs: this.#packs().length, bytes: outcome.after.bytes } };
  }

  /** Packs with blocks. */
  #packs() {
    return this.#options.index.packs().filter(({ sealed }) => sealed !== PACK_STATES.left);
  }

  #isMarked(cid: Cid): boolean {
    return codecOf(cid) !== "raw" && this.#options.index.marks.isMarked(digestOf(cid), this.#number);
  }

  async #sweep(dryRun: boolean, signal: AbortSignal): Promise<Swept> {
    const { index, leases } = this.#options;
    const begun = this.#packs();
    const ends = new Map(begun.map(({ name, end }) => [name, end]));
    const sweep = { collection: this.#number, leasedBefore: leases.over(), dryRun, ends };
    const live = new Map<string, number>();
    let [blocks, bytes] = [0, 0];
    for (let after: Uint8Array | undefined = new Uint8Array(); after !== undefined; await nextTurn()) {
      signal.throwIfAborted();
      const step = index.sweep(after, INDEX_STEP, sweep);
      for (const [pack, length] of step.live) live.set(pack, (live.get(pack) ?? 0) + length);
      blocks += step.gone.blocks;
      bytes += step.gone.bytes;
      after = step.last;
    }
    const packs = new Map<string, SweptPack>();
    for (const { name, end, sealed } of begun) {
      packs.set(name, { end, live: live.get(name) ?? 0, empty: sealed !== PACK_STATES.growing && !live.has(name) });
    }
    return { blocks, bytes, packs };
  }
}

function planOf(packs: readonly { readonly name: string; readonly end: number }[], going: ReadonlyMap<string, number>) {
  const before = { packs: packs.length, bytes: 0 };
  const isCopied = [...going.values()].some((bytes) => bytes > 0);
  const after = { packs: packs.length - going.size + (isCopied ? 1 : 0), bytes: 0 };
  for (const { name, end } of packs) {
    before.bytes += end;
    after.bytes += going.get(name) ?? end;
  }
  return { packs: going, before, after };
}
