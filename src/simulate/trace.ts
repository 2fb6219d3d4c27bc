/** The events of a simulated history, in words, with their times. */
import type { Clock } from "../base/clock.ts";
import { blake3 } from "../crypto/hash.ts";

export class Trace {
  readonly lines: string[] = [];
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(who: string, what: string): void {
    this.lines.push(`${(this.#clock.monotonicMs() / 1000).toFixed(3).padStart(8)} ${who} ${what}`);
  }

  /** Equal for traces that are equal byte for byte. */
  get digest(): string {
    return Buffer.from(blake3(Buffer.from(this.lines.join("\n")))).toString("hex");
  }
}
