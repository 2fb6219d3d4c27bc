/** The rate at which the running epoch uploads, and the time left at that rate. */
import type { Clock } from "../../base/clock.ts";

interface Sample {
  readonly ms: number;
  bytes: number;
}

/** Only what went lately counts: what went before says nothing about the rate of now. */
const WINDOW_MS = 15_000;
/** Before that the rate is a guess. */
const LEAST_MS = 2_000;
const SAMPLE_MS = 250;

export class Throughput {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #beganMs: number | undefined;
  #samples: Sample[] = [];
  #done = 0;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** An epoch begins to go. */
  begin(): void {
    this.end();
    this.#beganMs = this.#clock.monotonicMs();
  }

  end(): void {
    this.#beganMs = undefined;
    this.#samples = [];
    this.#done = 0;
  }

  /** So many more bytes of it went. */
  note(bytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#done += bytes;
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.ms < SAMPLE_MS) last.bytes += bytes;
    else this.#samples = [...this.#recent(nowMs), { ms: nowMs, bytes }];
  }

  /** So many bytes of it need not go: the bucket has them. */
  skip(bytes: number): void {
    this.#done += bytes;
  }

  /** How long all of `bytes`, with what went already, takes from now on. Undefined while nothing moves, or its rate is not known. */
  etaMs(bytes: number): number | undefined {
    const nowMs = this.#clock.monotonicMs();
    const elapsedMs = Math.min(nowMs - (this.#beganMs ?? nowMs), WINDOW_MS);
    const went = this.#recent(nowMs).reduce((sum, sample) => sum + sample.bytes, 0);
    const left = bytes - this.#done;
    if (elapsedMs < LEAST_MS || went === 0 || left <= 0) return undefined;
    return Math.round((left * elapsedMs) / went);
  }

  #recent(nowMs: number): Sample[] {
    return this.#samples.filter(({ ms }) => nowMs - ms < WINDOW_MS);
  }
}
