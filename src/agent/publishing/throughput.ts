/** The rate at which the running epoch uploads, and the time left at that rate. */
import type { Clock } from "../../base/clock.ts";

interface Sample {
  readonly ms: number;
  bytes: number;
}

/** Only recent bytes count: earlier ones do not tell the current rate. */
const WINDOW_MS = 15_000;
/** Before this time the rate is only a guess. */
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

  /** An epoch starts to upload. */
  begin(): void {
    this.end();
    this.#beganMs = this.#clock.monotonicMs();
  }

  end(): void {
    this.#beganMs = undefined;
    this.#samples = [];
    this.#done = 0;
  }

  /** This many more bytes were uploaded. */
  note(bytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#done += bytes;
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.ms < SAMPLE_MS) last.bytes += bytes;
    else this.#samples = [...this.#recent(nowMs), { ms: nowMs, bytes }];
  }

  /** This many bytes need no upload: the bucket has them. */
  skip(bytes: number): void {
    this.#done += bytes;
  }

  /**
   * How much longer all of `bytes` takes, including what was uploaded. Undefined while nothing moves or the rate is
   * unknown.
   */
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
