/** A door that is opened again and again until it opens: its address may be in use for a while. */
import type { Clock } from "../../base/clock.ts";
import { RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { OpenDoor } from "./door-context.ts";
import type { DoorReport } from "./doors.ts";

export interface LateDoorOptions {
  /** Until it is open. */
  readonly report: DoorReport;
  readonly open: () => Promise<OpenDoor>;
  readonly clock: Clock;
  readonly log: Log;
}

export class LateDoor implements OpenDoor {
  /** Resolves after the first try. */
  readonly tried: Promise<void>;
  readonly #options: LateDoorOptions;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #door: OpenDoor | undefined;

  constructor(options: LateDoorOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.tried = promise;
    this.#ended = this.#run(resolve);
  }

  get report(): DoorReport {
    return this.#door?.report ?? this.#options.report;
  }

  async leave(lazy: boolean): Promise<void> {
    await this.#stop();
    await this.#door?.leave(lazy);
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#door?.close();
  }

  #stop(): Promise<void> {
    this.#closing.abort();
    return this.#ended;
  }

  async #run(tried: () => void): Promise<void> {
    const { open, clock, log } = this.#options;
    const { signal } = this.#closing;
    for (let retryMs = RECONNECT_FIRST_MS; !signal.aborted; retryMs = Math.min(retryMs * 2, RECONNECT_MAX_MS)) {
      try {
        this.#door = await open();
        return;
      } catch (error) {
        if (retryMs === RECONNECT_FIRST_MS) log.warn(`Not open yet, and tried again: ${describeError(error)}`);
      } finally {
        tried();
      }
      await clock.sleep(retryMs, signal).catch(() => {});
    }
  }
}
