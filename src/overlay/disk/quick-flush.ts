/**
 * Whether the caller may sync the disk itself, since handing that to another thread takes as long as a fast disk's sync (0.03
 * to 0.1 ms), or milliseconds on a busy machine. Not if slow syncs recently took more than their share of its time. A few
 * slow ones in a row are fine, such as during an upload. On a slow disk another thread syncs, and the caller tries now and
 * then.
 */
import type { Clock } from "../../base/clock.ts";
import { QUICK_FLUSH_MS, SLOW_FLUSH_SHARE, SLOW_FLUSHES_MS } from "../../base/limits.ts";

export class QuickFlush {
  readonly #clock: Clock;
  /** Time of slow flushes beyond their share, as of #asOfMs. */
  #excessMs = 0;
  #asOfMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isAllowed(): boolean {
    return this.#excessAt(this.#clock.monotonicMs()) < SLOW_FLUSHES_MS;
  }

  /** Runs a flush that returns whether it was done. */
  run(flush: () => boolean): boolean {
    const began = this.#clock.monotonicMs();
    const done = flush();
    const ended = this.#clock.monotonicMs();
    if (ended - began > QUICK_FLUSH_MS) {
      this.#excessMs = this.#excessAt(ended) + ended - began;
      this.#asOfMs = ended;
    }
    return done;
  }

  #excessAt(nowMs: number): number {
    return Math.max(0, this.#excessMs - (nowMs - this.#asOfMs) * SLOW_FLUSH_SHARE);
  }
}
