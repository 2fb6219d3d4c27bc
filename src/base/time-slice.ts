/** Long work on one thread in small pieces: between two of them whoever waits gets its turn. */
import type { Clock } from "./clock.ts";
import { nextTurn } from "./concurrency.ts";

export class TimeSlice {
  readonly #clock: Clock;
  readonly #sliceMs: number;
  #since: number;

  /** `sliceMs`: how long others may have to wait. */
  constructor(clock: Clock, sliceMs: number) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
    this.#since = clock.monotonicMs();
  }

  /** To be awaited between two pieces. Lets timers, sockets and others' promises run when the slice is used up. */
  async breathe(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#since < this.#sliceMs) return;
    await nextTurn();
    this.#since = this.#clock.monotonicMs();
  }
}
