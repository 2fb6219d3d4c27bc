/**
 * Which files are open through the kernel, as a hint in memory: handles carry no state, so they survive the agent. Decides
 * whether the kernel keeps a file's cached pages across an open.
 */
import type { FileName, Ino } from "../base/ids.ts";
import { PassingFiles } from "./passing-files.ts";
import { FOPEN } from "./protocol.ts";

export class OpenFiles {
  readonly passing = new PassingFiles();
  /** How many writes came from the page cache. */
  writeBacks = 0;
  readonly #opens = new Map<Ino, number>();
  /** Files open for writing: how often, as far as known, and whether one of these wrote in place. */
  readonly #writers = new Map<Ino, Writers>();
  /** Files with bytes that the kernel caches at the wrong offset. */
  readonly #misplaced = new Set<Ino>();
  /** Files opened since everything changed: their pages are valid again. Undefined: the kernel caches no old pages. */
  #revalidated: Set<Ino> | undefined;

  /** Counts an open; returns the flags to answer it with. `writes`: for writing. */
  open(ino: Ino, writes: boolean): number {
    if (writes) this.#writersOf(ino).opens++;
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    if (this.passing.opened(ino)) return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; written bytes are here already, and RELEASE reports the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  /** As `open`, for a file created by opening this name. */
  create(ino: Ino, parent: Ino, name: FileName, writes: boolean): number {
    if (!this.passing.made(ino, parent, name)) return this.open(ino, writes);
    if (writes) this.#writersOf(ino).opens++;
    this.#opens.set(ino, 1);
    return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
  }

  release(ino: Ino): void {
    const count = (this.#opens.get(ino) ?? 0) - 1;
    if (count > 0) this.#opens.set(ino, count);
    else {
      this.#opens.delete(ino);
      this.passing.closed(ino);
    }
  }

  /** A write that did not append. Returns whether it is the first since the file was opened for writing. */
  wroteInPlace(ino: Ino): boolean {
    const writers = this.#writersOf(ino);
    if (writers.wrote) return false;
    writers.wrote = true;
    return true;
  }

  /** Counts the release of a file open for writing. Returns whether it was the last, and any of them wrote in place. */
  releaseWriter(ino: Ino): boolean {
    const writers = this.#writers.get(ino);
    if (writers === undefined || --writers.opens > 0) return false;
    this.#writers.delete(ino);
    return writers.wrote;
  }

  #writersOf(ino: Ino): Writers {
    let writers = this.#writers.get(ino);
    if (writers === undefined) this.#writers.set(ino, (writers = { opens: 0, wrote: false }));
    return writers;
  }

  /** Whether it is known to be open. */
  has(ino: Ino): boolean {
    return this.#opens.has(ino);
  }

  /** Bytes of this file were written at another offset than the kernel caches them. */
  misplaced(ino: Ino): void {
    this.#misplaced.add(ino);
  }

  /** The files whose pages must be dropped for that, once their writes are answered: pages are locked until then. */
  takeMisplaced(): Ino[] {
    if (this.#misplaced.size === 0) return NONE;
    const inodes = [...this.#misplaced];
    this.#misplaced.clear();
    return inodes;
  }

  /** Whether it was opened since everything changed. */
  isRevalidated(ino: Ino): boolean {
    return this.#revalidated?.has(ino) === true;
  }

  /** Everything may have changed: cached pages go at the next open. Returns the open files, whose pages go now. */
  distrust(): Ino[] {
    this.#revalidated = new Set();
    return [...this.#opens.keys()];
  }

  /** All cached pages have been dropped since. */
  trust(): void {
    this.#revalidated = undefined;
  }
}

interface Writers {
  /** An earlier agent may have counted others. */
  opens: number;
  wrote: boolean;
}

const NONE: Ino[] = [];
