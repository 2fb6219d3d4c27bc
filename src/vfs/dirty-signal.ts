/**
 * Tells the agent that there is something to flush. The agent runs on another thread, so signals are rare: now and then for
 * writes, and once until the next seal for closes and fsyncs.
 */
import type { Clock } from "../base/clock.ts";

/**
 * `rewrite`: a large file is being rewritten from its beginning, and nothing else changes. `write`: a file is being
 * written. `change`: a change that no close follows, such as a name added or removed, a mode, or an attribute.
 */
export type DirtyReason = "rewrite" | "write" | "change" | "close" | "fsync" | "urgent";

/** Continuing changes are reported this often: a flush waits longer for them to pause. */
const GOING_ON_MS = 100;
/** In ascending urgency: a more urgent one is reported even right after a less urgent one. */
const NEWS: readonly DirtyReason[] = ["rewrite", "write", "change"];

export class DirtySignal {
  readonly #clock: Clock;
  #listener: (reason: DirtyReason) => void = () => {};
  #toldMs = -Infinity;
  #told: DirtyReason = "rewrite";
  #firmTold = false;
  #urgentTold = false;
  /** Whether there was a close or an fsync since the last seal. */
  #isFirm = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  listen(listener: (reason: DirtyReason) => void): void {
    this.#listener = listener;
    this.reset();
  }

  tell(reason: DirtyReason): void {
    if (NEWS.includes(reason)) {
      const now = this.#clock.monotonicMs();
      const isNews = NEWS.indexOf(reason) > NEWS.indexOf(this.#told);
      if (now - this.#toldMs < GOING_ON_MS && !isNews) return;
      this.#toldMs = now;
      this.#told = reason;
    } else if (reason === "urgent") {
      if (this.#urgentTold) return;
      this.#urgentTold = true;
    } else {
      this.#isFirm = true;
      if (this.#firmTold) return;
      this.#firmTold = true;
    }
    this.#listener(reason);
  }

  /** Reports what is left for the next flush. */
  tellAgain(isUrgent: boolean): void {
    this.tell(isUrgent ? "urgent" : this.#isFirm ? "close" : "write");
  }

  /** All changes so far go into the sealed epoch. */
  sealed(): void {
    this.#isFirm = false;
  }

  /** Earlier signals are being handled; later changes are new. */
  reset(): void {
    this.#toldMs = -Infinity;
    this.#told = "rewrite";
    this.#firmTold = false;
    this.#urgentTold = false;
  }
}
