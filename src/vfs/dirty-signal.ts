/**
 * Tells the agent that there is something to flush. The agent lives on another thread, so it is told no more often than
 * matters: of writes now and then, of closes and fsyncs once until the next seal takes them all.
 */
import type { Clock } from "../base/clock.ts";

export type DirtyReason = "write" | "close" | "fsync" | "urgent";

/** Writes that go on are told this often: a flush waits ten times as long for them to pause. */
const WRITE_MS = 100;

export class DirtySignal {
  readonly #clock: Clock;
  #listener: (reason: DirtyReason) => void = () => {};
  #writeToldMs = -Infinity;
  #firmTold = false;
  #urgentTold = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  listen(listener: (reason: DirtyReason) => void): void {
    this.#listener = listener;
    this.reset();
  }

  tell(reason: DirtyReason): void {
    if (reason === "write") {
      const now = this.#clock.monotonicMs();
      if (now - this.#writeToldMs < WRITE_MS) return;
      this.#writeToldMs = now;
    } else if (reason === "urgent") {
      if (this.#urgentTold) return;
      this.#urgentTold = true;
    } else {
      if (this.#firmTold) return;
      this.#firmTold = true;
    }
    this.#listener(reason);
  }

  /** What was told is being taken care of; what comes now is new. */
  reset(): void {
    this.#writeToldMs = -Infinity;
    this.#firmTold = false;
    this.#urgentTold = false;
  }
}
