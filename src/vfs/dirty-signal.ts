/**
 * Tells the agent that there is something to flush. The agent lives on another thread, so it is told no more often than
 * matters: of writes now and then, of closes and fsyncs once until the next seal takes them all.
 */
import type { Clock } from "../base/clock.ts";

/** `rewrite`: a large file is being written again from its beginning, and nothing else is changed. */
export type DirtyReason = "write" | "rewrite" | "close" | "fsync" | "urgent";

/** Writes that go on are told this often: a flush waits ten times as long for them to pause. */
const WRITE_MS = 100;

export class DirtySignal {
  readonly #clock: Clock;
  #listener: (reason: DirtyReason) => void = () => {};
  #writeToldMs = -Infinity;
  #rewriteTold = false;
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
    if (reason === "write" || reason === "rewrite") {
      const now = this.#clock.monotonicMs();
      // That something else is changed, too, is news.
      const isNews = reason === "write" && this.#rewriteTold;
      if (now - this.#writeToldMs < WRITE_MS && !isNews) return;
      this.#writeToldMs = now;
      this.#rewriteTold = reason === "rewrite";
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
    this.#writeToldMs = -Infinity;
    this.#rewriteTold = false;
    this.#firmTold = false;
    this.#urgentTold = false;
  }
}
