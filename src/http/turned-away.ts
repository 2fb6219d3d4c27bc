/** Logs how many clients were told to try again later, as the server was busy: at most a line a minute. */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";

export class TurnedAway implements Disposable {
  readonly #log: Log;
  readonly #clock: Pick<Clock, "after">;
  #count = { connections: 0, requests: 0 };
  /** Runs for a minute after each line. */
  #quiet: Disposable | undefined;

  constructor(log: Log, clock: Pick<Clock, "after">) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Counts one more. */
  note(what: "connections" | "requests"): void {
    this.#count[what]++;
    if (this.#quiet === undefined) this.#tell();
  }

  /** Logs the rest. */
  [Symbol.dispose](): void {
    this.#quiet?.[Symbol.dispose]();
    if (this.#isNews()) this.#write();
  }

  #tell(): void {
    this.#write();
    this.#quiet = this.#clock.after(QUIET_MS, () => {
      this.#quiet = undefined;
      if (this.#isNews()) this.#tell();
    });
  }

  #write(): void {
    this.#log.warn("the WebDAV door was too busy: clients were told to try again later", this.#count);
    this.#count = { connections: 0, requests: 0 };
  }

  #isNews(): boolean {
    return this.#count.connections + this.#count.requests > 0;
  }
}

const QUIET_MS = 60_000;
