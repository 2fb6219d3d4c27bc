/** A door whose opening is repeated until it succeeds: its address may be in use for a while. */
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { openLate } from "../open-late.ts";
import type { OpenDoor } from "./door-context.ts";
import type { DoorReport } from "./doors.ts";

export interface LateDoorOptions extends Pick<Ports, "clock" | "log"> {
  /** Until it is open. */
  readonly report: DoorReport;
  readonly open: () => Promise<OpenDoor>;
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
    let isTold = false;
    const failed = (error: unknown) => {
      if (!isTold) log.warn(`Not open yet, and tried again: ${describeError(error)}`);
      isTold = true;
      tried();
    };
    this.#door = await openLate(open, failed, { clock, signal: this.#closing.signal });
    tried();
  }
}
