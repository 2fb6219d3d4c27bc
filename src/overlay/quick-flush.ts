/**
 * Whether a flush of the disk may hold up the caller: while those that did were quick. After a slow one they are another thread's
 * for many times as long.
 */
import type { Clock } from "../base/clock.ts";
import { QUICK_FLUSH_MS, SLOW_FLUSH_REST } from "../base/limits.ts";

export class QuickFlush {
  readonly #clock: Clock;
  #slowUntilMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isAllowed(): boolean {
    return this.#clock.monotonicMs() >= this.#slowUntilMs;
  }

  /** Runs a flush that answers whether it was done. */
  run(flush: () => boolean): boolean {
    const began = this.#clock.monotonicMs();
    const done = flush();
    const tookMs = this.#clock.monotonicMs() - began;
    if (tookMs > QUICK_FLUSH_MS) this.#slowUntilMs = began + tookMs * SLOW_FLUSH_REST;
    return done;
  }
}
