/** Limits bytes a second: takers above the rate wait. */
import type { Clock } from "./clock.ts";

export class RateLimit {
  readonly #clock: Clock;
  readonly #bytesPerS: number;
  /** When everything taken is paid for, on the monotonic clock. */
  #paidMs: number;

  constructor(clock: Clock, bytesPerS: number) {
    this.#clock = clock;
    this.#bytesPerS = bytesPerS;
    this.#paidMs = clock.monotonicMs();
  }

  /** Resolves when these bytes may go; after a pause, `BURST_MS` of the rate may go at once. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#paidMs = Math.max(this.#paidMs, nowMs - BURST_MS) + (bytes * 1000) / this.#bytesPerS;
    if (this.#paidMs > nowMs) await this.#clock.sleep(this.#paidMs - nowMs, signal);
  }
}

const BURST_MS = 100;
