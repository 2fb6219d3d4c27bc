/**
 * Limits how often unauthenticated calls are answered, by address, so that heavy callers slow down only themselves. Callers
 * with a valid bearer never wait: behind a proxy all callers share one address.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Clock } from "../../base/clock.ts";
import { networkOf } from "../../http/peer-network.ts";
import { PACED_ADDRESSES, STRANGER_BURST, STRANGER_CALLS_PER_S, STRANGER_WAIT_MS } from "../limits.ts";

export class RateLimits {
  readonly #clock: Clock;
  /** When each address has paid for all of its calls, on the monotonic clock. */
  readonly #paidMs = new BoundedMap<string, number>(PACED_ADDRESSES);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when one more may be answered, within STRANGER_WAIT_MS. Rejects with the signal's reason. */
  async take(address: string | undefined, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const network = networkOf(address);
    const paidMs = Math.max(this.#paidMs.get(network) ?? -Infinity, nowMs - STRANGER_BURST * STEP_MS) + STEP_MS;
    this.#paidMs.set(network, Math.min(paidMs, nowMs + STRANGER_WAIT_MS));
    if (paidMs > nowMs) await this.#clock.sleep(Math.min(paidMs - nowMs, STRANGER_WAIT_MS), signal);
  }
}

const STEP_MS = 1_000 / STRANGER_CALLS_PER_S;
