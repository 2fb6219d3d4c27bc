/**
 * Holds back who changes more objects than are published meanwhile, a little for each call and the more the further the live
 * epoch is past its bound: so memory stays bounded and nobody waits for long. An epoch that does not come through (the bucket is
 * away, or slow) holds nobody back: then the overlay is what it is for.
 */
import type { Clock } from "../base/clock.ts";
import { EPOCH_OBJECTS, PACE_MAX_MS, PACE_MS, PACED_MS } from "../base/limits.ts";

export class BackPressure {
  readonly #clock: Clock;
  readonly #objects: number;
  /** When the epoch that is on its way left; undefined when there is none, or when it failed before. */
  #leftMs: number | undefined;

  /** `objects`: how many changed objects an epoch is to have at most. */
  constructor(clock: Clock, objects: number = EPOCH_OBJECTS) {
    this.#clock = clock;
    this.#objects = objects;
  }

  /** An epoch is handed over: for the first time, or again after it did not come through. */
  left(again: boolean): void {
    this.#leftMs = again ? undefined : this.#clock.monotonicMs();
  }

  /** It is in the bucket. */
  arrived(): void {
    this.#leftMs = undefined;
  }

  /** Whether the live epoch is large enough to be sealed at once. */
  isFull(live: number): boolean {
    return live >= this.#objects;
  }

  /** How long a call that changes another object is to wait, with so many changed in the live epoch. */
  pauseMs(live: number): number {
    const surplus = live - this.#objects;
    if (surplus <= 0 || this.#leftMs === undefined) return 0;
    if (this.#clock.monotonicMs() - this.#leftMs > PACED_MS) return 0;
    return Math.min((PACE_MS * surplus) / this.#objects, PACE_MAX_MS);
  }
}
