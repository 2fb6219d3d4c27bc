/**
 * One collection of an owner's garbage: marks everything that the buckets' roots reach, then deletes what is neither marked
 * nor leased. Uploads and swaps continue meanwhile.
 *
 * Blocks of swaps made during marking are marked afterwards. At one moment no swap is in progress: the marks are completed
 * for the current roots, and from then on only marked nodes count as complete. A later swap that reaches garbage must check
 * each of those blocks: it finds the block gone, or its check keeps the block.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import type { MasterCollection } from "../../bucket/http/master-collection.ts";
import type { RootTable } from "../../roots/root-store.ts";
import type { RootAlarm } from "../roots/root-alarm.ts";
import type { ClosedGate, GateTimeouts, SwapGate } from "../roots/swap-gate.ts";
import type { BlockStores, CollectedBlocks, Collecting, CollectionProgress } from "../store/owner-blocks.ts";
import { RootMarks } from "./root-marks.ts";

export interface CollectionOptions extends CollectionContext {
  readonly stores: BlockStores<CollectedBlocks>;
}

export interface CollectionContext {
  readonly roots: RootTable;
  readonly gate: SwapGate;
  readonly alarm: RootAlarm;
  readonly clock: Clock;
  /** Stops early: the remaining garbage waits for the next collection. */
  readonly signal: AbortSignal;
  /** Called at each marked node. */
  readonly onProgress?: (progress: CollectionProgress) => void;
}

export interface CollectionReport extends MasterCollection {
  /** Blocks that were deleted, or would be, and their bytes. */
  readonly blocks: number;
  readonly blockBytes: number;
}

/**
 * Collects. Deletes nothing and throws `root_rolled_back` if the table of roots went back, or `store_corrupt` if a root
 * reaches missing or damaged blocks. Throws `root_moved` if swaps left no gap, and whatever the store throws.
 */
export async function collectOwner(
  options: CollectionOptions,
  owner: Wallet,
  dryRun: boolean,
): Promise<CollectionReport> {
  const blocks = await options.stores.of(owner);
  const report = await blocks.collect((collecting) => {
    const signal = AbortSignal.any([options.signal, collecting.signal]);
    return new Collection({ ...options, signal }, owner, collecting).run(dryRun);
  });
  const none = { before: 0, after: 0 };
  return report ?? { blocks: 0, blockBytes: 0, packs: none, bytes: none, dropped: 0, repackedBytes: 0 };
}

/** How long to wait for a moment without swaps, and how long to block swaps then. */
const SWAPS: GateTimeouts = { patienceMs: 2_000, heldMs: 500 };
/** Attempts before the garbage is left for the next time, with this pause in between. */
const SWAPS_TRIES = 32;
const SWAPS_PAUSE_MS = 1_000;

class Collection {
  readonly #options: CollectionOptions;
  readonly #owner: Wallet;
  readonly #collecting: Collecting;
  readonly #roots: RootMarks;

  constructor(options: CollectionOptions, owner: Wallet, collecting: Collecting) {
    this.#options = options;
    this.#owner = owner;
    this.#collecting = collecting;
    this.#roots = new RootMarks({ ...options, owner, known: () => collecting.roots, into: collecting });
  }

  /** Undefined: there are no roots. */
  async run(dryRun: boolean): Promise<CollectionReport | undefined> {
    const collecting = this.#collecting;
    const { signal } = this.#options;
    await this.#roots.check();
    await this.#roots.mark();
    if (this.#roots.isEmpty) return undefined;
    if (!dryRun) await this.#betweenSwaps();
    const swept = dryRun ? await collecting.preview(signal) : await collecting.sweep(signal);
    const plan = collecting.plan(swept);
    const { packs, before, after } = dryRun ? plan : await collecting.repack(plan, swept, signal);
    return {
      blocks: swept.blocks,
      blockBytes: swept.bytes,
      packs: { before: before.packs, after: after.packs },
      bytes: { before: before.bytes, after: after.bytes },
      dropped: packs.size,
      repackedBytes: [...packs.values()].reduce((sum, bytes) => sum + bytes, 0),
    };
  }

  /** Marks what the current roots reach, and begins the sweep while no swap is in progress. */
  async #betweenSwaps(): Promise<void> {
    const { gate, clock, signal } = this.#options;
    for (let attempt = 0; attempt < SWAPS_TRIES; attempt++) {
      if (attempt > 0) await clock.sleep(SWAPS_PAUSE_MS, signal);
      await this.#roots.mark();
      using closed = await gate.close(this.#owner, SWAPS, clock);
      if (closed === undefined || !(await this.#markInTime(closed))) continue;
      this.#collecting.roots.advance(this.#roots.rows);
      this.#collecting.beginSweep();
      return;
    }
    throw new SynclineError("root_moved", "The roots changed too often for garbage to be collected.", {
      hint: "Nothing was collected. Collection is retried later.",
    });
  }

  /** False: marking the latest swaps takes too long to block others, so swaps have resumed. The marks stay. */
  async #markInTime(closed: ClosedGate): Promise<boolean> {
    const breathe = async () => {
      if (!closed.isClosed) throw new TooLong();
    };
    try {
      await this.#roots.mark({ breathe });
      return closed.isClosed;
    } catch (error) {
      if (error instanceof TooLong) return false;
      throw error;
    }
  }
}

class TooLong extends Error {}
