/** Splits long work on one thread, so that other work runs in between. */
import type { Clock } from "./clock.ts";
import { nextTurn } from "./concurrency.ts";

export class TimeSlice {
  readonly #clock: Clock;
  readonly #sliceMs: number;
  #since: number;

  /** `sliceMs`: how long other work may have to wait. */
  constructor(clock: Clock, sliceMs: number) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
    this.#since = clock.monotonicMs();
  }

  /** Await it between pieces of work. When the slice is used up, it lets timers, sockets and other promises run. */
  async breathe(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#since < this.#sliceMs) return;
    await nextTurn();
    this.#since = this.#clock.monotonicMs();
  }
}
