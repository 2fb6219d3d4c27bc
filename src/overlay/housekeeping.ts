/**
 * The overlay's background work: inode rows to the tables, checkpoints, spare journal segments, and the removal of unused
 * data files. One piece at a time, with calls in between. Work that fails, for lack of space for instance, is tried again.
 */
import type { Ino } from "../base/ids.ts";
import { INODE_BATCH, SWEEP_FILES, SWEEP_MS, WAITING_INODES } from "../base/limits.ts";
import { describeError } from "../base/log.ts";
import type { Ports } from "../base/ports.ts";
import type { Checkpointer } from "./journal/checkpointer.ts";
import type { DataFiles } from "./data/data-files.ts";
import type { Journal } from "./journal/journal.ts";
import type { OverlayState } from "./state.ts";

export interface HousekeepingParts extends Pick<Ports, "clock" | "log"> {
  readonly state: OverlayState;
  readonly checkpointer: Checkpointer;
  readonly journal: Journal;
  readonly data: DataFiles;
  /** Makes everything in the journal durable. */
  readonly sync: () => Promise<void>;
  /** Called when data files were removed. */
  readonly freed: () => void;
}

/** How long failed work waits before it is tried again. */
const AGAIN_MS = 5_000;
/** After a start, programs are waiting: a checkpoint would keep them waiting. */
const FIRST_MS = 500;

export class Housekeeping implements Disposable {
  readonly #parts: HousekeepingParts;
  readonly #firstMs: number;
  #tending: Disposable | undefined;
  #sweeping: Disposable | undefined;
  #failed = false;
  #closed = false;
  /** Inodes that had data files at the start, but no changes. */
  #ownerless: Ino[] = [];

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    this.#firstMs = parts.clock.monotonicMs() + FIRST_MS;
  }

  /** Something was journaled: does soon what is due. */
  tendSoon(): void {
    if (!this.#isDue || this.#tending !== undefined || this.#closed) return;
    const { clock } = this.#parts;
    const waitMs = Math.max(this.#failed ? AGAIN_MS : 0, this.#firstMs - clock.monotonicMs());
    this.#tending = clock.after(waitMs, () => {
      this.#tending = undefined;
      this.#tend();
    });
  }

  /** Removes the data files of objects that the state released, and those that nothing needs any more. */
  discard(): void {
    const { state, data } = this.#parts;
    for (const { ino, upTo } of state.discarded.splice(0)) data.discard(ino, upTo);
    const waiting = data.discarded;
    if (waiting > 0 && (this.#sweeping === undefined || waiting === SWEEP_FILES))
      this.#sweepIn(waiting >= SWEEP_FILES ? 0 : SWEEP_MS);
  }

  /**
   * After a start: removes data files that a crash left without an owner. Those of the live epoch may get new bytes until
   * it is sealed.
   */
  clean(): void {
    const { state, data } = this.#parts;
    state.discarded.length = 0;
    this.#ownerless = data.inos().filter((ino) => state.object(ino) === undefined);
    for (const ino of data.inos()) state.inodes.use(ino);
    this.#discardOwnerless();
  }

  /** The live epoch was sealed. */
  sealed(): void {
    this.#discardOwnerless();
    this.#ownerless = [];
  }

  /** Removes data files that are no longer referenced, once the journal that says so is durable. */
  async sweep(): Promise<void> {
    const { data, sync, freed } = this.#parts;
    await data.removeDiscarded(sync);
    freed();
  }

  /** Leaves little to do for the next start. If that fails, as on a full disk, the synced journal still has everything. */
  async finish(): Promise<void> {
    try {
      await this.#parts.checkpointer.run();
      await this.sweep();
    } catch (error) {
      this.#parts.log.warn("The last checkpoint failed. The next start reads the journal instead.", {
        error: describeError(error),
      });
    }
  }

  /** Starts nothing from here on. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#tending?.[Symbol.dispose]();
    this.#sweeping?.[Symbol.dispose]();
  }

  #discardOwnerless(): void {
    const { state } = this.#parts;
    // One by one: there may be more than a call's arguments can hold.
    for (const ino of this.#ownerless) {
      if (state.object(ino) === undefined) state.discarded.push({ ino, upTo: state.epoch - 1 });
    }
    this.discard();
  }

  get #isDue(): boolean {
    const { checkpointer, journal } = this.#parts;
    return checkpointer.isDue || this.#hasManyRows || journal.wantsSpare;
  }

  /** Whether to write inode rows ahead of a checkpoint. One that is being written takes them all. */
  get #hasManyRows(): boolean {
    const { checkpointer, state } = this.#parts;
    return state.inodes.waiting > WAITING_INODES && !checkpointer.isWriting;
  }

  #tend(): void {
    if (this.#closed) return;
    const { checkpointer, journal } = this.#parts;
    this.#failed = false;
    try {
      if (this.#hasManyRows) checkpointer.writeInodes(INODE_BATCH);
      if (checkpointer.isDue) void checkpointer.run().catch((error: unknown) => this.#report(error));
      if (journal.wantsSpare) void journal.makeReady();
    } catch (error) {
      this.#report(error);
    }
    this.tendSoon();
  }

  #sweepIn(ms: number): void {
    this.#sweeping?.[Symbol.dispose]();
    if (this.#closed) return;
    this.#sweeping = this.#parts.clock.after(ms, () => {
      this.#sweeping = undefined;
      this.sweep().catch((error: unknown) => {
        this.#report(error);
        this.#sweepIn(AGAIN_MS);
      });
    });
  }

  #report(error: unknown): void {
    this.#failed = true;
    this.#parts.log.warn("The overlay's housekeeping failed and will be retried.", { error: describeError(error) });
  }
}
