/** What a synced folder has to publish, from the scan that counted it until it is published; and how long that takes. */
import type { Clock } from "../../base/clock.ts";
import type { Waiting } from "../../sync/waiting.ts";
import type { PendingReport } from "../reports.ts";
import { Throughput } from "./throughput.ts";

export class WaitingWork {
  readonly #clock: Clock;
  readonly #throughput: Throughput;
  #waiting: Waiting | undefined;
  #sinceNs: bigint | undefined;
  #mayCountMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#throughput = new Throughput(clock);
  }

  /** Whether it may be counted while it cannot go anywhere. Of a large folder that takes long, so a part of the time only is spent on it. */
  mayCount(): boolean {
    return this.#clock.monotonicMs() >= this.#mayCountMs;
  }

  /** So much is to be published now. */
  counted(waiting: Waiting, tookMs: number): void {
    this.#set(waiting);
    this.#mayCountMs = this.#clock.monotonicMs() + Math.max(LEAST_REST_MS, tookMs * RESTS);
    this.#throughput.begin();
  }

  sent(bytes: number): void {
    this.#throughput.note(bytes);
  }

  /** The pass is over, and left so much. Undefined: it failed, and all of it waits still. */
  ended(left: Waiting | undefined): void {
    if (left !== undefined) this.#set(left);
    this.#throughput.end();
  }

  /** Undefined while nobody has counted. */
  report(): PendingReport | undefined {
    if (this.#waiting === undefined) return undefined;
    const { files, bytes } = this.#waiting;
    const ageNs = this.#sinceNs === undefined ? 0n : this.#clock.nowNs() - this.#sinceNs;
    const oldestMs = Math.max(0, Number(ageNs / 1_000_000n));
    return { files, bytes, oldestMs, etaMs: this.#throughput.etaMs(bytes) ?? null };
  }

  #set(waiting: Waiting): void {
    const { sinceNs } = waiting;
    const before = this.#sinceNs;
    // A deletion is as old as the scan that found it first.
    this.#sinceNs = sinceNs === undefined || before === undefined || sinceNs < before ? sinceNs : before;
    this.#waiting = waiting;
  }
}

const LEAST_REST_MS = 500;
const RESTS = 20;
