/**
 * Which files are open through the kernel. Decides whether the kernel keeps a file's cached pages across an open, and how
 * long a file's version is held.
 */
import type { FileName, Ino } from "../base/ids.ts";
import type { Readers } from "../vfs/filesystem.ts";
import type { OpenTable, Use } from "./open-table.ts";
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
  readonly #table: OpenTable;
  readonly #opens = new Map<Ino, number>();
  /** How many of the opens are to append. */
  readonly #appends = new Map<Ino, number>();
  /** How many of the opens hold each file's version. */
  readonly #holders = new Map<Ino, number>();
  /** Files that were written through a handle that is not in the table. The first release of such a handle takes them out. */
  readonly #unlisted = new Set<Ino>();
  /** Files with bytes that the kernel caches at the wrong offset. */
  readonly #misplaced = new Set<Ino>();
  /** Files opened since everything changed: their pages are valid again. Undefined: the kernel caches no old pages. */
  #revalidated: Set<Ino> | undefined;

  constructor(table: OpenTable) {
    this.#table = table;
    for (const { ino, use } of table.files()) this.#count(ino, use);
  }

  /** Counts an open, and returns the answer to it. `handle`: the number of its request. */
  open(handle: number, ino: Ino, use: Use): Opened {
    this.#add(handle, ino, use);
    return { flags: this.#flags(ino), handle };
  }

  /** As `open`, for a file created by opening this name. */
  create(handle: number, ino: Ino, parent: Ino, name: FileName, use: Use): Opened {
    if (!this.passing.made(ino, parent, name)) return this.open(handle, ino, use);
    this.#add(handle, ino, use);
    return { flags: FOPEN.DIRECT_IO | FOPEN.NOFLUSH, handle };
  }

  #flags(ino: Ino): number {
    if (this.passing.opened(ino)) return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; written bytes are here already, and RELEASE reports the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  #add(handle: number, ino: Ino, use: Use): void {
    const known = this.#table.get(handle);
    if (known?.ino === ino && known.use === use) return;
    // An agent was killed before its journal had the file that it made: that number may stand for another one now.
    if (known !== undefined) this.release(known.ino, handle);
    this.#table.add(handle, ino, use);
    this.#count(ino, use);
  }

  #count(ino: Ino, use: Use): void {
    countUp(this.#opens, ino);
    if (use === "append") countUp(this.#appends, ino);
    if (use === "hold") countUp(this.#holders, ino);
  }

  /** Counts a release. Returns whether nothing holds the file's version any more. */
  release(ino: Ino, handle: number): boolean {
    const use = this.#table.delete(handle)?.use;
    if (use === undefined) return this.#unlisted.delete(ino) && !this.#holders.has(ino);
    if (countDown(this.#opens, ino) === 0) this.passing.closed(ino);
    if (use === "append") countDown(this.#appends, ino);
    return use === "hold" && countDown(this.#holders, ino) === 0 && !this.#unlisted.has(ino);
  }

  /** Notes a write. Returns true for the first write through a handle that is not in the table: the version is not held yet. */
  isUnlisted(ino: Ino, handle: number): boolean {
    if (handle === NO_HANDLE || this.#table.get(handle) !== undefined || this.#unlisted.has(ino)) return false;
    this.#unlisted.add(ino);
    return true;
  }

  /** The files whose versions programs hold. */
  get held(): Ino[] {
    return [...this.#holders.keys()];
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

function countUp(counts: Map<Ino, number>, ino: Ino): void {
  counts.set(ino, (counts.get(ino) ?? 0) + 1);
}

/** Counts one less. Returns the count, at least 0. */
function countDown(counts: Map<Ino, number>, ino: Ino): number {
  const left = (counts.get(ino) ?? 0) - 1;
  if (left > 0) counts.set(ino, left);
  else counts.delete(ino);
  return Math.max(left, 0);
}

/** The handle that agents of older versions gave to opens that hold no version. */
const NO_HANDLE = 0;
const NONE: Ino[] = [];
