/**
 * One check for all who ask, at most every few seconds: /health is public, and must not cost a query for each call. A
 * check that hangs is not begun again.
 */
import type { Clock } from "../../base/clock.ts";

const CHECK_MS = 3_000;

export class PacedCheck {
  readonly #clock: Clock;
  readonly #check: () => Promise<unknown>;
  #last: { readonly atMs: number; readonly done: Promise<unknown>; isOver: boolean } | undefined;

  constructor(clock: Clock, check: () => Promise<unknown>) {
    this.#clock = clock;
    this.#check = check;
  }

  /** The result of the check under way, or of the last one if it is recent. */
  result(): Promise<unknown> {
    const atMs = this.#clock.monotonicMs();
    if (this.#last === undefined || (this.#last.isOver && atMs - this.#last.atMs >= CHECK_MS)) {
      const last = { atMs, isOver: false, done: this.#check().finally(() => (last.isOver = true)) };
      this.#last = last;
    }
    return this.#last.done;
  }
}
