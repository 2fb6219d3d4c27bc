/** Limits bytes per second, by the time of day. Takers above the rate wait. */
import type { Clock } from "./clock.ts";

/** A rate that holds from this minute of the day, in local time, until that of the next one. Undefined: no limit. */
export interface TimedRate {
  readonly fromMinute: number;
  readonly bytesPerS: number | undefined;
}

/** At least one, in order of time. The last one holds until the first one of the next day. */
export type Rates = readonly TimedRate[];

export class RateLimit {
  readonly rates: Rates;
  readonly #clock: Clock;
  /** Bytes taken, and bytes paid for, since the beginning. */
  #taken = 0;
  #paid = 0;
  /** The monotonic time up to which `#paid` counts, and the rate since then. */
  #paidMs: number;
  #rate: number | undefined;

  constructor(clock: Clock, rates: Rates) {
    this.#clock = clock;
    this.rates = rates;
    this.#paidMs = clock.monotonicMs();
    this.#rate = this.#rateNow();
  }

  /** Resolves when these bytes may go; after a pause, `BURST_MS` of the rate may go at once. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    this.#pay();
    this.#taken += bytes;
    const end = this.#taken;
    for (this.#pay(); this.#paid < end; this.#pay()) await this.#clock.sleep(this.#waitMs(end), signal);
  }

  #pay(): void {
    const nowMs = this.#clock.monotonicMs();
    const rate = this.#rate;
    if (rate === undefined) this.#paid = this.#taken;
    else {
      const paid = this.#paid + (rate * (nowMs - this.#paidMs)) / 1000;
      this.#paid = Math.min(paid, this.#taken + (rate * BURST_MS) / 1000);
    }
    this.#paidMs = nowMs;
    this.#rate = this.#rateNow();
    if (this.#rate === undefined) this.#paid = this.#taken;
  }

  /** Never beyond this minute, since the rate may change at its end. So waiters also notice when the clock is set. */
  #waitMs(end: number): number {
    const minuteMs = MINUTE_MS - (this.#nowMs() % MINUTE_MS);
    const paidMs = ((end - this.#paid) / (this.#rate ?? Infinity)) * 1000;
    return Math.min(Math.ceil(paidMs), minuteMs);
  }

  /** Reads local time each time, so that daylight saving needs no rule here. */
  #rateNow(): number | undefined {
    const local = new Date(this.#nowMs());
    const minute = local.getHours() * 60 + local.getMinutes();
    return (this.rates.findLast(({ fromMinute }) => fromMinute <= minute) ?? this.rates.at(-1))?.bytesPerS;
  }

  #nowMs(): number {
    return Number(this.#clock.nowNs() / 1_000_000n);
  }
}

const BURST_MS = 100;
const MINUTE_MS = 60_000;
