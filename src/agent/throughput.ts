/** How fast epochs get into the bucket: from the last few of them, an honest guess of how long the next takes. */
import type { ChangeSet } from "../bucket/change-set.ts";

/** What an epoch has to carry. */
export interface Work {
  readonly files: number;
  readonly bytes: number;
}

interface Sample extends Work {
  readonly ms: number;
}

/** Epochs that are remembered: the past minute or so of an agent that is busy. */
const SAMPLES = 16;

export class Throughput {
  #samples: Sample[] = [];

  /** An epoch with this work took so long to publish. */
  note(work: Work, ms: number): void {
    this.#samples = [...this.#samples, { files: work.files, bytes: work.bytes, ms }].slice(-SAMPLES);
  }

  /**
   * What any epoch takes, and on top of that what the biggest ones took for a file or a byte, whichever is more. Undefined while
   * nothing was published.
   */
  etaMs(work: Work): number | undefined {
    if (this.#samples.length === 0) return undefined;
    const overheadMs = Math.min(...this.#samples.map(({ ms }) => ms));
    const ofFiles = work.files * this.#msPer("files", overheadMs);
    const ofBytes = work.bytes * this.#msPer("bytes", overheadMs);
    return Math.round(overheadMs + Math.max(ofFiles, ofBytes));
  }

  /** By the sample with most of it: small ones tell of the overhead only. */
  #msPer(unit: keyof Work, overheadMs: number): number {
    const [most] = [...this.#samples].sort((a, b) => b[unit] - a[unit]);
    return most === undefined || most[unit] === 0 ? 0 : (most.ms - overheadMs) / most[unit];
  }
}

/** The work in a sealed epoch: its objects, and the bytes that were written here. */
export function workOf({ objects }: ChangeSet): Work {
  let bytes = 0;
  for (const { content } of objects) {
    if (content.kind === "same") continue;
    for (const { from, length } of content.segments) if (from === "data") bytes += length;
  }
  return { files: objects.length, bytes };
}
