/**
 * Tracks data files that are being written in order from their beginning. Bytes [0, end) are written, and none was
 * rewritten since the generation began. Another thread may therefore process them early, and asks at the end whether they
 * are unchanged.
 *
 * Only writes to the data file count, not the file's logical content: truncating or punching leaves these bytes as they
 * are, and the extents say which of them count.
 */
import type { Ino } from "../base/ids.ts";
import { BEGINNINGS_KEPT, EARLY_LEAST_BYTES, EARLY_STEPS } from "../base/limits.ts";

/** The first bytes of data file `<ino>.<epoch>`, unchanged since this generation began. */
export interface Beginning {
  readonly ino: Ino;
  readonly epoch: number;
  /** Never reused, for any file. */
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

  /** `leastBytes`: beginnings no longer than this are not reported. */
  constructor(leastBytes = EARLY_LEAST_BYTES) {
    this.#leastBytes = leastBytes;
    this.#stepBytes = Math.max(1, Math.floor(leastBytes / EARLY_STEPS));
  }

  /** Call this before writing to the data file at `offset`: a write that fails may have written in part. */
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

  /** The generation of the own data file written last, if that write continued in order. */
  get growing(): number | undefined {
    return this.#growing?.generation;
  }

  /** The beginning that has grown enough since its last report to be reported again. */
  takeDue(): Beginning | undefined {
    const due = this.#due;
    this.#due = undefined;
    // It may have been rewritten since.
    if (due === undefined || due.end <= this.#leastBytes) return undefined;
    due.told = due.end;
    const { ino, epoch, generation, end } = due;
    return { ino, epoch, generation, end };
  }

  /** Whether these bytes are as they were when reported. */
  isSteady(name: string, { generation, end }: Beginning): boolean {
    const kept = this.#kept.get(name);
    return kept !== undefined && kept.generation === generation && kept.end >= end;
  }

  /** The data file is removed. */
  forget(name: string): void {
    this.#kept.delete(name);
  }

  #keep(name: string, ino: Ino, epoch: number): Kept {
    if (this.#kept.size >= BEGINNINGS_KEPT) this.#kept.delete(this.#leastWorth());
    const kept = { ino, epoch, generation: ++this.#generations, end: 0, told: 0 };
    this.#kept.set(name, kept);
    return kept;
  }

  /** The oldest that was never reported; if there is none, the oldest. */
  #leastWorth(): string {
    let oldest: string | undefined;
    for (const [name, { end }] of this.#kept) {
      if (end <= this.#leastBytes) return name;
      oldest ??= name;
    }
    return oldest ?? "";
  }
}
