/** Spreads out calls that come in quick succession: one that comes alone is made at once, of many the last is never left out. */
import type { Clock } from "./clock.ts";

/** Between two looks for new roots of others who publish all the time. */
export const WATCH_THROTTLE_MS = 100;

/** Two calls closer than so many times their spacing are a quick succession. */
const QUICK_SPACINGS = 2.5;

export class Throttle implements Disposable {
  readonly #clock: Clock;
  readonly #spacingMs: () => number;
  readonly #action: () => void;
  /** When the last two calls were made. */
  #before = -Infinity;
  #last = -Infinity;
  #timer: Disposable | undefined;

  /** `spacingMs`: between any two of a quick succession, from the third on; asked for each. */
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
