/**
 * Which files are open through the kernel. Decides whether the kernel keeps a file's cached pages across an open, and how
 * long a file's version is held. This is a hint in memory: a handle says only which agent gave it out, so it outlives that.
 */
import type { FileName, Ino } from "../base/ids.ts";
import type { Readers } from "../vfs/filesystem.ts";
import { PassingFiles } from "./passing-files.ts";
import { FOPEN } from "./protocol.ts";

/** What a program may do with a file that it opens. `hold`: write in place, on top of the version that it opens. */
export type Use = "read" | "append" | "hold";

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
  /** How many of the opens are to append. */
  readonly #appends = new Map<Ino, number>();
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

  /** Counts an open, and returns the answer to it. */
  open(ino: Ino, use: Use): Opened {
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    return { flags: this.#flags(ino), handle: this.#handle(ino, use) };
  }

  /** As `open`, for a file created by opening this name. */
  create(ino: Ino, parent: Ino, name: FileName, use: Use): Opened {
    if (!this.passing.made(ino, parent, name)) return this.open(ino, use);
    this.#opens.set(ino, 1);
    return { flags: FOPEN.DIRECT_IO | FOPEN.NOFLUSH, handle: this.#handle(ino, use) };
  }

  #flags(ino: Ino): number {
    if (this.passing.opened(ino)) return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; written bytes are here already, and RELEASE reports the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  #handle(ino: Ino, use: Use): number {
    if (use === "append") this.#appends.set(ino, (this.#appends.get(ino) ?? 0) + 1);
    if (use !== "hold") return NO_HANDLE;
    this.#holders.set(ino, (this.#holders.get(ino) ?? 0) + 1);
    return this.#generation;
  }

  /** Counts a release. `use`: as at the open. Returns whether nothing holds the file's version any more. */
  release(ino: Ino, handle: number, use: Use): boolean {
    if (countDown(this.#opens, ino) === 0) this.passing.closed(ino);
    if (use === "append") countDown(this.#appends, ino);
    if (handle !== this.#generation) return this.#earlier.delete(ino) && !this.#holders.has(ino);
    return countDown(this.#holders, ino) === 0 && !this.#earlier.has(ino);
  }

  /** Notes a write. Returns true for the first write through an earlier agent's handle: the version is not held yet. */
  isFromEarlier(ino: Ino, handle: number): boolean {
    if (handle === NO_HANDLE || handle === this.#generation || this.#earlier.has(ino)) return false;
    this.#earlier.add(ino);
    return true;
  }

  /** Files that are open and that no program appends to. Those that programs hold are among them. */
  readonly readers: Readers = {
    has: (ino) => this.#opens.has(ino) && !this.#appends.has(ino),
    all: () => [...this.#opens.keys()].filter((ino) => !this.#appends.has(ino)),
  };

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

/** Counts one less. Returns the count, at least 0. */
function countDown(counts: Map<Ino, number>, ino: Ino): number {
  const left = (counts.get(ino) ?? 0) - 1;
  if (left > 0) counts.set(ino, left);
  else counts.delete(ino);
  return Math.max(left, 0);
}

/** The handle of opens that hold no version. */
const NO_HANDLE = 0;
const NONE: Ino[] = [];
