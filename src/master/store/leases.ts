/**
 * For how long blocks stay that no root reaches: what was uploaded or asked after must still be there when the root is swapped.
 *
 * Leases are written down in steps, so that blocks that are named again and again are not written each time. A clock that runs ahead ends
 * them early: a swap that comes then names blocks that are missing, and is refused.
 */
import type { Clock } from "../../base/clock.ts";

/** docs/reference/formats.md, A bucket in an object store: 24 h. */
const LEASE_SECONDS = 24 * 60 * 60;

export class Leases {
  readonly #clock: Clock;
  readonly #seconds: number;
  readonly #step: number;

  constructor(clock: Clock, seconds: number = LEASE_SECONDS) {
    this.#clock = clock;
    this.#seconds = seconds;
    this.#step = Math.max(1, Math.floor(seconds / STEPS));
  }

  /** A lease that begins now: seconds since 1970. */
  now(): number {
    const seconds = Number(this.#clock.nowNs() / 1_000_000_000n);
    return seconds - (seconds % this.#step);
  }

  /** Those from before this have ended. */
  over(): number {
    return this.now() - this.#seconds - this.#step;
  }
}

const STEPS = 24;
