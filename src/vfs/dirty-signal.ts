/**
 * Tells the agent that there is something to flush. The agent lives on another thread, so it is told no more often than
 * matters: of writes now and then, of closes and fsyncs once until the next seal takes them all.
 */
import type { Clock } from "../base/clock.ts";

/**
 * `rewrite`: a large file is being written again from its beginning, and nothing else is changed. `write`: a file is being written.
 * `change`: something that no close follows: a name that goes or comes, a mode, an attribute.
 */
export type DirtyReason = "rewrite" | "write" | "change" | "close" | "fsync" | "urgent";

/** Changes that go on are reported this often: a flush waits longer for them to pause. */
const GOING_ON_MS = 100;
/** In ascending urgency: a later one is reported even if an earlier one was just reported. */
const NEWS: readonly DirtyReason[] = ["rewrite", "write", "change"];

export class DirtySignal {
  readonly #clock: Clock;
  #listener: (reason: DirtyReason) => void = () => {};
  #toldMs = -Infinity;
  #told: DirtyReason = "rewrite";
  #firmTold = false;
  #urgentTold = false;
  /** Whether a close or an fsync came since the last seal. */
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

  /** Of what is left for the next flush. */
  tellAgain(isUrgent: boolean): void {
    this.tell(isUrgent ? "urgent" : this.#isFirm ? "close" : "write");
  }

  /** All that was changed goes into the epoch that is sealed. */
  sealed(): void {
    this.#isFirm = false;
  }

  /** What was told is being taken care of; what comes now is new. */
  reset(): void {
    this.#toldMs = -Infinity;
    this.#told = "rewrite";
    this.#firmTold = false;
    this.#urgentTold = false;
  }
}
