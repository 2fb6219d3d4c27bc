/** Logs trouble that may last: when it begins, once in a while as long as it lasts, and when it is over. */
import type { Clock } from "./clock.ts";
import { describeError, type Log } from "./log.ts";

const AGAIN_MS = 10 * 60_000;

export class LastingTrouble {
  readonly #what: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #toldMs: number | undefined;
  #failures = 0;

  /** `what` fails: "cannot watch the roots". */
  constructor(what: string, clock: Clock, log: Log) {
    this.#what = what;
    this.#clock = clock;
    this.#log = log;
  }

  /** Runs the work. A failure is logged and not thrown. */
  async watch(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.succeeded();
    } catch (error) {
      this.failed(error);
    }
  }

  failed(error: unknown): void {
    this.#failures++;
    const now = this.#clock.monotonicMs();
    if (this.#toldMs !== undefined && now - this.#toldMs < AGAIN_MS) return;
    this.#toldMs = now;
    const failures = this.#failures === 1 ? {} : { failures: this.#failures };
    this.#log.warn(this.#what, { error: describeError(error), ...failures });
  }

  succeeded(): void {
    if (this.#toldMs === undefined) return;
    this.#log.warn(`over: ${this.#what}`, { failures: this.#failures });
    this.#toldMs = undefined;
    this.#failures = 0;
  }
}
