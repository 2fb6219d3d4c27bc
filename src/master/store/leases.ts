/**
 * How long blocks stay that no root reaches: blocks uploaded or asked about must still exist when the root is swapped.
 *
 * Leases are recorded in coarse steps, so that blocks named repeatedly are not rewritten each time. A clock that runs fast
 * ends them early: a later swap then names missing blocks, and is refused.
 */
import type { Clock } from "../../base/clock.ts";
import { MASTER_LEASE_MS } from "../../base/limits.ts";

export class Leases {
  readonly #clock: Clock;
  readonly seconds: number;
  readonly #step: number;

  constructor(clock: Clock, seconds: number = MASTER_LEASE_MS / 1_000) {
    this.#clock = clock;
    this.seconds = seconds;
    this.#step = Math.max(1, Math.floor(seconds / STEPS));
  }

  /** A lease that begins now: seconds since 1970. */
  now(): number {
    const seconds = Number(this.#clock.nowNs() / 1_000_000_000n);
    return seconds - (seconds % this.#step);
  }

  /** Leases from before this are over. */
  over(): number {
    return this.now() - this.seconds - this.#step;
  }
}

const STEPS = 24;
