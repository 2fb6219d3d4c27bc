/**
 * Delays calls when objects change faster than they are published. The further the live epoch is past its bound, the longer
 * each delay; delays stay short and memory stays bounded. There is no delay while an epoch fails to get through because the
 * bucket is unreachable or slow: buffering is then the overlay's job. It refuses what memory could not hold: an agent that
 * runs out of memory could not read its state again either.
 */
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import { EPOCH_OBJECTS, PACE_MAX_MS, PACE_MS, PACED_EPOCHS, PACED_MS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Ports } from "../base/ports.ts";

/** Changes that free space may exceed the most objects by this factor. */
const URGENT = 1.125;

export interface BackPressureOptions extends Pick<Ports, "clock" | "log"> {
  /** The most changed objects that an epoch should have. */
  readonly objects?: number | undefined;
  /** The most changed objects that memory should hold, with what their long values count as. */
  readonly most?: number | undefined;
}

export class BackPressure {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #objects: number;
  readonly #most: number;
  #toldFull = false;
  /** Until when calls wait for the epoch in flight; undefined when there is none, or when it failed before. */
  #paceUntilMs: number | undefined;
  /** How many objects the live epoch may change before calls wait. */
  #free = 0;

  constructor({ clock, log, objects = EPOCH_OBJECTS, most = Infinity }: BackPressureOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#objects = objects;
    this.#most = most;
  }

  /** Refuses `more` changed objects than memory should hold; `held`: how many it holds. Throws `disk_full`. */
  admit(more: number, held: number, isUrgent: boolean): void {
    if (held < this.#most / 2) this.#toldFull = false;
    if (more <= 0 || held + more <= this.#most * (isUrgent ? URGENT : 1)) return;
    const error = new SynclineError(
      "disk_full",
      `Unpublished changes take the memory of ${held} files and folders, and no more fit.`,
      {
        hint:
          "They are published once the bucket can be reached. Until then, only files that have changed already can be " +
          "changed, and their extended attributes cannot grow.",
      },
    );
    if (!this.#toldFull) this.#log.warn(`Changes are refused: ${error.message}`);
    this.#toldFull = true;
    throw error;
  }

  /**
   * An epoch of so many objects is handed over for publishing. `again`: an earlier attempt failed. The next one may become
   * as large, since a slow bucket gets more through in large ones.
   */
  left(sealed: number, again: boolean): void {
    const epochs = Math.max(1, sealed / this.#objects);
    this.#paceUntilMs = again ? undefined : this.#clock.monotonicMs() + PACED_MS * epochs;
    this.#free = this.#objects * Math.min(epochs, PACED_EPOCHS);
  }

  /** The epoch is in the bucket. */
  arrived(): void {
    this.#paceUntilMs = undefined;
  }

  /** Whether the live epoch is large enough to be sealed at once. */
  isFull(live: number): boolean {
    return live >= this.#objects;
  }

  /**
   * How long a call should wait before it changes another object; `live`: how many the live epoch changed; `held`: how many
   * memory holds.
   */
  pauseMs(live: number, held: number): number {
    if (this.#paceUntilMs === undefined) return 0;
    if (held > this.#most / 2) return PACE_MAX_MS;
    const surplus = live - this.#free;
    if (surplus <= 0) return 0;
    if (this.#clock.monotonicMs() > this.#paceUntilMs) return 0;
    return Math.min((PACE_MS * surplus) / this.#objects, PACE_MAX_MS);
  }
}
