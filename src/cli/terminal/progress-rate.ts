/** The current rate of work, from its last seconds: earlier speeds do not predict the rest. */

/** In one or more of these units. */
export interface Amounts {
  readonly files?: number | undefined;
  readonly bytes?: number | undefined;
  readonly blocks?: number | undefined;
}

interface Sample {
  readonly ms: number;
  readonly done: Amounts;
}

export class ProgressRate {
  readonly #samples: Sample[];

  constructor(startMs: number) {
    this.#samples = [{ ms: startMs, done: {} }];
  }

  note(ms: number, done: Amounts): void {
    // Always keeps the newest, and few samples close together.
    const before = this.#samples.at(-2);
    if (before !== undefined && ms - before.ms < SAMPLE_MS) this.#samples.pop();
    this.#samples.push({ ms, done: { ...done } });
    while ((this.#samples[1]?.ms ?? Infinity) < ms - WINDOW_MS) this.#samples.shift();
  }

  /** Leaves out units in which nothing moved, and all of them while it is too early. */
  perSecond(): Amounts {
    return { files: this.#of("files"), bytes: this.#of("bytes"), blocks: this.#of("blocks") };
  }

  /** Undefined if unknown: it is too early, nothing moves, or nothing is left. */
  leftMs(done: Amounts, total: Amounts): number | undefined {
    let longest: number | undefined;
    for (const unit of ["files", "bytes", "blocks"] as const) {
      const left = (total[unit] ?? 0) - (done[unit] ?? 0);
      if (left <= 0) continue;
      const perSecond = this.#of(unit);
      if (perSecond === undefined) return undefined;
      longest = Math.max(longest ?? 0, (left / perSecond) * 1000);
    }
    return longest;
  }

  #of(unit: keyof Amounts): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.ms - first.ms < EARLY_MS) return undefined;
    const moved = (last.done[unit] ?? 0) - (first.done[unit] ?? 0);
    return moved <= 0 ? undefined : (moved * 1000) / (last.ms - first.ms);
  }
}

const SAMPLE_MS = 250;
const WINDOW_MS = 20_000;
const EARLY_MS = 1_000;
