/**
 * How fast a line sends. Of a body, the system takes up to 4 MiB ahead, and no more until a third of that is sent (Linux: tcp_wmem):
 * on a slow line that is a long silence, which says nothing of the server. A line counts as fast until a body fails in silence, so
 * that a server that hangs is given up soon.
 */
import type { Clock } from "../base/clock.ts";

export class SendingRate {
  readonly #clock: Clock;
  #bytesPerS = FASTEST;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sends a body of this length. `aheadMs`: how long the system may need for what it has taken of it. Throws as `send`. */
  async timed<Answer>(length: number, silenceMs: number, send: (aheadMs: number) => Promise<Answer>): Promise<Answer> {
    const beganMs = this.#clock.monotonicMs();
    const tookMs = () => this.#clock.monotonicMs() - beganMs;
    try {
      const answer = await send((Math.min(length, AHEAD_BYTES) / this.#bytesPerS) * 1_000);
      if (length >= TELLING_BYTES) this.#note(length / (tookMs() / 1_000) / 2);
      return answer;
    } catch (error) {
      if (length > 0 && tookMs() >= silenceMs) this.#note(this.#bytesPerS / STEP);
      throw error;
    }
  }

  #note(bytesPerS: number): void {
    this.#bytesPerS = Math.max(SLOWEST, Math.min(bytesPerS, FASTEST));
  }
}

const KiB = 1_024;
const AHEAD_BYTES = 4 * KiB * KiB;
/** Shorter bodies tell more of the server than of the line. */
const TELLING_BYTES = 256 * KiB;
const FASTEST = 512 * KiB;
const SLOWEST = 16 * KiB;
const STEP = 8;
