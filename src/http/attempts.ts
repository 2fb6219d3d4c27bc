/**
 * Limits password attempts by address: guessing slows down only the guesser's own address. A few attempts in a row, then
 * one now and then; a correct password returns its attempt.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Clock } from "../base/clock.ts";
import { networkOf } from "./peer-network.ts";

/** Attempts in a row; after that, one per this many milliseconds. */
const BURST = 10;
const REFILL_MS = 5_000;
const MAX_ADDRESSES = 8_192;

export class Attempts {
  readonly #clock: Clock;
  readonly #byAddress = new BoundedMap<string, { left: number; atMs: number }>(MAX_ADDRESSES);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** 0: go on. Otherwise the seconds until the next attempt from this address. */
  take(address: string | undefined): number {
    const nowMs = this.#clock.monotonicMs();
    const key = networkOf(address);
    const known = this.#byAddress.get(key) ?? { left: BURST, atMs: nowMs };
    const left = Math.min(BURST, known.left + (nowMs - known.atMs) / REFILL_MS);
    if (left < 1) return Math.ceil(((1 - left) * REFILL_MS) / 1_000);
    this.#byAddress.set(key, { left: left - 1, atMs: nowMs });
    return 0;
  }

  giveBack(address: string | undefined): void {
    const known = this.#byAddress.get(networkOf(address));
    if (known !== undefined) known.left++;
  }
}
