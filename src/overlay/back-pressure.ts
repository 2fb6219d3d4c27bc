/**
 * Delays calls when objects change faster than they are published. The further the live epoch is past its bound, the longer
 * each delay; delays stay short and memory stays bounded. There is no delay while an epoch fails to get through because the
 * bucket is unreachable or slow: buffering is then the overlay's job.
 */
import type { Clock } from "../base/clock.ts";
import { EPOCH_OBJECTS, PACE_MAX_MS, PACE_MS, PACED_MS } from "../base/limits.ts";

export class BackPressure {
  readonly #clock: Clock;
  readonly #objects: number;
  /** When the epoch in flight was handed over; undefined when there is none, or when it failed before. */
  #leftMs: number | undefined;

  /** `objects`: the most changed objects that an epoch should have. */
  constructor(clock: Clock, objects: number = EPOCH_OBJECTS) {
    this.#clock = clock;
    this.#objects = objects;
  }

  /** An epoch is handed over for publishing. `again`: an earlier attempt failed. */
  left(again: boolean): void {
    this.#leftMs = again ? undefined : this.#clock.monotonicMs();
  }

  /** The epoch is in the bucket. */
  arrived(): void {
    this.#leftMs = undefined;
  }

  /** Whether the live epoch is large enough to be sealed at once. */
  isFull(live: number): boolean {
    return live >= this.#objects;
  }

  /** How long a call should wait before it changes another object; `live`: how many the live epoch changed. */
  pauseMs(live: number): number {
    const surplus = live - this.#objects;
    if (surplus <= 0 || this.#leftMs === undefined) return 0;
    if (this.#clock.monotonicMs() - this.#leftMs > PACED_MS) return 0;
    return Math.min((PACE_MS * surplus) / this.#objects, PACE_MAX_MS);
  }
}
