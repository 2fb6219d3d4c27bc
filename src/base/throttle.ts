/** Spaces out rapid calls: a single call runs at once, and after a burst the last call always runs. */
import type { Clock } from "./clock.ts";

/** The pause between checks for new roots while others publish all the time. */
export const WATCH_THROTTLE_MS = 100;

/** Calls closer than this many times the spacing are rapid. */
const QUICK_SPACINGS = 2.5;

export class Throttle implements Disposable {
  readonly #clock: Clock;
  readonly #spacingMs: () => number;
  readonly #action: () => void;
  /** When the action last ran, and the time before. */
  #before = -Infinity;
  #last = -Infinity;
  #timer: Disposable | undefined;

  /** `spacingMs`: between rapid calls, from the third on; a function is asked for each call. */
  constructor(clock: Clock, spacingMs: number | (() => number), action: () => void) {
    this.#clock = clock;
    this.#spacingMs = typeof spacingMs === "number" ? () => spacingMs : spacingMs;
    this.#action = action;
  }

  call(): void {
    if (this.#timer !== undefined) return;
    const now = this.#clock.monotonicMs();
    const spacingMs = this.#spacingMs();
    const waitMs = now - this.#before < QUICK_SPACINGS * spacingMs ? this.#last + spacingMs - now : 0;
    if (waitMs <= 0) this.#make();
    else this.#timer = this.#clock.after(waitMs, () => this.#make());
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #make(): void {
    this.#timer = undefined;
    [this.#before, this.#last] = [this.#last, this.#clock.monotonicMs()];
    this.#action();
  }
}
