/**
 * Which data files are being written in order from their beginning: bytes [0, end) are there, and none of them was written again
 * since the generation began. So another thread may work on them already, and asks in the end whether they are the same still.
 *
 * It counts what is written to the data file, not what the file is said to hold: cutting, punching and the like leave these bytes
 * as they are, and it is for the extents to say which of them count.
 */
import type { Ino } from "../base/ids.ts";
import { BEGINNINGS_KEPT, EARLY_LEAST_BYTES, EARLY_STEPS } from "../base/limits.ts";

/** The first bytes of data file `<ino>.<epoch>`, as they have been since this generation began. */
export interface Beginning {
  readonly ino: Ino;
  readonly epoch: number;
  /** Never used again, for any file. */
  readonly generation: number;
  readonly end: number;
}

interface Kept {
  readonly ino: Ino;
  readonly epoch: number;
  generation: number;
  end: number;
  told: number;
}

export class Beginnings {
  readonly #leastBytes: number;
  readonly #stepBytes: number;
  readonly #kept = new Map<string, Kept>();
  #generations = 0;
  #due: Kept | undefined;
  #growing: Kept | undefined;

  /** `leastBytes`: beginnings that are no longer are not worth telling. */
  constructor(leastBytes = EARLY_LEAST_BYTES) {
    this.#leastBytes = leastBytes;
    this.#stepBytes = Math.max(1, Math.floor(leastBytes / EARLY_STEPS));
  }

  /** To be called before anything is written to the data file at `offset`, since a write that fails may have written in part. */
  writing(name: string, offset: number): void {
    const kept = this.#kept.get(name);
    if (kept === undefined || offset >= kept.end) return;
    kept.generation = ++this.#generations;
    kept.end = kept.told = 0;
  }

  /** Bytes [from, to) of the data file were written. */
  wrote(name: string, ino: Ino, epoch: number, from: number, to: number): void {
    const kept = this.#kept.get(name) ?? (from === 0 ? this.#keep(name, ino, epoch) : undefined);
    this.#growing = kept?.end === from ? kept : undefined;
    if (kept?.end !== from) return;
    kept.end = to;
    if (to > this.#leastBytes && to - kept.told >= this.#stepBytes) this.#due = kept;
  }

  /** The generation of the data file of its own that was written to last, if that went on in order. */
  get growing(): number | undefined {
    return this.#growing?.generation;
  }

  /** What has grown so much since it was told last that it should be told again. */
  takeDue(): Beginning | undefined {
    const due = this.#due;
    this.#due = undefined;
    // It may have been written again since.
    if (due === undefined || due.end <= this.#leastBytes) return undefined;
    due.told = due.end;
    const { ino, epoch, generation, end } = due;
    return { ino, epoch, generation, end };
  }

  /** Whether these bytes are as they were when it was told of them. */
  isSteady(name: string, { generation, end }: Beginning): boolean {
    const kept = this.#kept.get(name);
    return kept !== undefined && kept.generation === generation && kept.end >= end;
  }

  /** The data file goes. */
  forget(name: string): void {
    this.#kept.delete(name);
  }

  #keep(name: string, ino: Ino, epoch: number): Kept {
    if (this.#kept.size >= BEGINNINGS_KEPT) this.#kept.delete(this.#leastWorth());
    const kept = { ino, epoch, generation: ++this.#generations, end: 0, told: 0 };
    this.#kept.set(name, kept);
    return kept;
  }

  /** The oldest of those that were not told; without one the oldest. */
  #leastWorth(): string {
    let oldest: string | undefined;
    for (const [name, { end }] of this.#kept) {
      if (end <= this.#leastBytes) return name;
      oldest ??= name;
    }
    return oldest ?? "";
  }
}
