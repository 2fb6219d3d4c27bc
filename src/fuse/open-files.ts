/**
 * Which files are open through the kernel. Decides whether the kernel keeps a file's cached pages across an open, and how
 * long a file's version is held. This is a hint in memory: a handle says only which agent gave it out, so it outlives that.
 */
import type { FileName, Ino } from "../base/ids.ts";
import { PassingFiles } from "./passing-files.ts";
import { FOPEN } from "./protocol.ts";

/** The answer to an open. */
export interface Opened {
  readonly flags: number;
  readonly handle: number;
}

export class OpenFiles {
  readonly passing = new PassingFiles();
  /** How many writes came from the page cache. */
  writeBacks = 0;
  readonly #generation: number;
  readonly #opens = new Map<Ino, number>();
  /** How many of this agent's open handles hold each file's version. */
  readonly #holders = new Map<Ino, number>();
  /** Files that were written through an earlier agent's handle. The first release of such a handle takes them out. */
  readonly #earlier = new Set<Ino>();
  /** Files with bytes that the kernel caches at the wrong offset. */
  readonly #misplaced = new Set<Ino>();
  /** Files opened since everything changed: their pages are valid again. Undefined: the kernel caches no old pages. */
  #revalidated: Set<Ino> | undefined;

  /** `generation`: a number that distinguishes this agent's handles from those of earlier agents. */
  constructor(generation = process.pid) {
    this.#generation = generation;
  }

  /** Counts an open, and returns the answer to it. `holds`: whether it holds the file's version. */
  open(ino: Ino, holds: boolean): Opened {
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    return { flags: this.#flags(ino), handle: this.#handle(ino, holds) };
  }

  /** As `open`, for a file created by opening this name. */
  create(ino: Ino, parent: Ino, name: FileName, holds: boolean): Opened {
    if (!this.passing.made(ino, parent, name)) return this.open(ino, holds);
    this.#opens.set(ino, 1);
    return { flags: FOPEN.DIRECT_IO | FOPEN.NOFLUSH, handle: this.#handle(ino, holds) };
  }

  #flags(ino: Ino): number {
    if (this.passing.opened(ino)) return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; written bytes are here already, and RELEASE reports the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  #handle(ino: Ino, holds: boolean): number {
    if (!holds) return NO_HANDLE;
    this.#holders.set(ino, (this.#holders.get(ino) ?? 0) + 1);
    return this.#generation;
  }

  /** Counts a release. Returns whether nothing holds the file's version any more. */
  release(ino: Ino, handle: number): boolean {
    const count = (this.#opens.get(ino) ?? 0) - 1;
    if (count > 0) this.#opens.set(ino, count);
    else {
      this.#opens.delete(ino);
      this.passing.closed(ino);
    }
    if (handle !== this.#generation) return this.#earlier.delete(ino) && !this.#holders.has(ino);
    const left = (this.#holders.get(ino) ?? 0) - 1;
    if (left > 0) this.#holders.set(ino, left);
    else this.#holders.delete(ino);
    return left <= 0 && !this.#earlier.has(ino);
  }

  /** Notes a write. Returns true for the first write through an earlier agent's handle: the version is not held yet. */
  isFromEarlier(ino: Ino, handle: number): boolean {
    if (handle === NO_HANDLE || handle === this.#generation || this.#earlier.has(ino)) return false;
    this.#earlier.add(ino);
    return true;
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

/** The handle of opens that hold no version. */
const NO_HANDLE = 0;
const NONE: Ino[] = [];
