/**
 * When an agent flushes. One flush runs at a time; changes that arrive meanwhile go with the next.
 *
 * - After an fsync, or a close that wrote: 25 ms later, at most four times a second.
 * - After a change without a close, such as a removed name: 0.2 s after the last one, at most 0.6 s after the first.
 * - While writing goes on without a pause, publishing would compete with the programs for the processor: 0.2 s after the last
 *   change, at most 5 s after the flush before.
 * - After a write to a file that stays open: 1 s after the last write, at most 5 s after the first.
 * - While only a large file is being rewritten from its beginning: 5 s after the last write, at most 60 s after the first.
 */
import type { Clock } from "../../base/clock.ts";
import {
  FLUSH_CHANGE_IDLE_MS,
  FLUSH_CHANGE_LATEST_MS,
  FLUSH_IDLE_MS,
  FLUSH_LATEST_MS,
  FLUSH_REWRITTEN_LATEST_MS,
  FLUSHES_PER_SECOND,
} from "../../base/limits.ts";
import type { DirtyReason } from "../../vfs/dirty-signal.ts";

/** The result of a flush: `again` asks for another after `afterMs` (offline, or attempts used up). */
export interface FlushEnd {
  readonly again: boolean;
  readonly afterMs: number;
}

/**
 * How long a flush waits after an fsync or close for the rename that ends a save. A new file that is published before it is
 * another object than the one that it replaces, so others' edits of that one cannot be merged with it.
 */
const SETTLE_MS = 25;
const SHORTEST_MS = 1_000 / FLUSHES_PER_SECOND;
/** Writing is continuous if a change comes this soon after a flush began; programs that wait for others are slower. */
const STORM_GAP_MS = 30;

/** How long a flush waits for more changes, if no program waits for it. */
const IDLE_MS: Partial<Record<DirtyReason, number>> = {
  rewrite: FLUSH_LATEST_MS,
  write: FLUSH_IDLE_MS,
  change: FLUSH_CHANGE_IDLE_MS,
};

export class FlushSchedule implements Disposable {
  readonly #clock: Clock;
  readonly #flush: () => Promise<FlushEnd>;
  #timer: Disposable | undefined;
  /** When writes that no program waits for are due: moves with each write. */
  #idleDueMs = Infinity;
  /** When an fsync or close is due: never moves later. */
  #firmDueMs = Infinity;
  #running: Promise<FlushEnd> | undefined;
  /** The flush that has been requested and has not begun. */
  #next: Promise<void> | undefined;
  #firstDirtyMs: number | undefined;
  /** When the first change came that is not the rewrite of a file. */
  #firstOtherMs: number | undefined;
  /** When the first change without a close came. */
  #firstChangeMs: number | undefined;
  #lastStartMs = -Infinity;
  #isContinuous = false;
  /** Whether writing went on when the running flush began. */
  #wentOn = false;
  #disposed = false;

  /** `flush` never rejects: it reports its own errors. */
  constructor(clock: Clock, flush: () => Promise<FlushEnd>) {
    this.#clock = clock;
    this.#flush = flush;
  }

  /** Something became dirty. */
  note(reason: DirtyReason): void {
    const now = this.#clock.monotonicMs();
    this.#firstDirtyMs ??= now;
    if (this.#running !== undefined && now - this.#lastStartMs <= STORM_GAP_MS)
      this.#wentOn = this.#isContinuous = true;
    if (reason === "rewrite") this.#firstOtherMs = undefined;
    else this.#firstOtherMs ??= now;
    if (reason === "change") this.#firstChangeMs ??= now;
    const idleMs = IDLE_MS[reason];
    if (idleMs === undefined)
      this.#firm(reason === "urgent" ? now : Math.max(now + SETTLE_MS, this.#lastStartMs + this.#spacingMs()));
    if (this.#isContinuous && this.#firmDueMs < Infinity) this.#idleDueMs = now + FLUSH_CHANGE_IDLE_MS;
    else if (idleMs !== undefined) this.#idleDueMs = Math.min(now + idleMs, this.#latestMs());
    this.#arm();
  }

  /**
   * Flushes now, after any running flush. Resolves when a flush that began after this call has ended. All callers during
   * one flush share the next.
   */
  async flushNow(): Promise<void> {
    if (this.#running === undefined) await this.#start();
    else await (this.#next ??= this.#flushNext());
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #flushNext(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    const running = this.#start();
    this.#next = undefined;
    await running;
  }

  /** The latest time for writes that no program waits for. */
  #latestMs(): number {
    const rewritten = (this.#firstDirtyMs ?? Infinity) + FLUSH_REWRITTEN_LATEST_MS;
    const changed = Math.max(
      (this.#firstChangeMs ?? Infinity) + FLUSH_CHANGE_LATEST_MS,
      this.#lastStartMs + this.#spacingMs(),
    );
    return Math.min(rewritten, (this.#firstOtherMs ?? Infinity) + FLUSH_LATEST_MS, changed);
  }

  #spacingMs(): number {
    return this.#isContinuous ? FLUSH_LATEST_MS : SHORTEST_MS;
  }

  #firm(dueMs: number): void {
    this.#firmDueMs = Math.min(this.#firmDueMs, dueMs);
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]();
    const dueMs = Math.min(this.#idleDueMs, this.#firmDueMs);
    if (dueMs === Infinity || this.#running !== undefined || this.#disposed) return;
    this.#timer = this.#clock.after(Math.max(0, dueMs - this.#clock.monotonicMs()), () => void this.#start());
  }

  #start(): Promise<FlushEnd> {
    if (this.#running !== undefined) return this.#running;
    this.#timer?.[Symbol.dispose]();
    this.#idleDueMs = Infinity;
    this.#firmDueMs = Infinity;
    this.#firstDirtyMs = undefined;
    this.#firstOtherMs = undefined;
    this.#firstChangeMs = undefined;
    this.#wentOn = false;
    this.#lastStartMs = this.#clock.monotonicMs();
    this.#running = this.#flush().then((end) => this.#ended(end));
    return this.#running;
  }

  #ended(end: FlushEnd): FlushEnd {
    this.#running = undefined;
    const now = this.#clock.monotonicMs();
    this.#isContinuous = this.#wentOn;
    if (end.again) this.#firmDueMs = now + end.afterMs;
    this.#arm();
    return end;
  }
}
