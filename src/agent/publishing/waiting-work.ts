/** What a synced folder has to publish, from the scan that counted it until publication, and how long that takes. */
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

  /**
   * Whether to count while nothing can be published. That is slow in a large folder, so it gets only a part of the time.
   */
  mayCount(): boolean {
    return this.#clock.monotonicMs() >= this.#mayCountMs;
  }

  /** This much waits to be published now. */
  counted(waiting: Waiting, tookMs: number): void {
    this.#set(waiting);
    this.#mayCountMs = this.#clock.monotonicMs() + Math.max(LEAST_REST_MS, tookMs * RESTS);
    this.#throughput.begin();
  }

  sent(bytes: number): void {
    this.#throughput.note(bytes);
  }

  /** The pass is over and left this much. Undefined: the pass failed, and everything still waits. */
  ended(left: Waiting | undefined): void {
    if (left !== undefined) this.#set(left);
    this.#throughput.end();
  }

  /** Undefined until something was counted. */
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
    // A deletion looks younger once its directory changes again.
    this.#sinceNs = sinceNs === undefined || before === undefined || sinceNs < before ? sinceNs : before;
    this.#waiting = waiting;
  }
}

const LEAST_REST_MS = 500;
const RESTS = 20;
