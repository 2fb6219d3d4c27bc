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
  /** How often files are open in a way that holds their version, as far as known. */
  readonly #holders = new Map<Ino, number>();
  /** Files with bytes that the kernel caches at the wrong offset. */
  readonly #misplaced = new Set<Ino>();
  /** Files opened since everything changed: their pages are valid again. Undefined: the kernel caches no old pages. */
  #revalidated: Set<Ino> | undefined;

  /** Counts an open; returns the flags to answer it with. `holds`: its version is held. */
  open(ino: Ino, holds: boolean): number {
    if (holds) this.#holders.set(ino, (this.#holders.get(ino) ?? 0) + 1);
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    if (this.passing.opened(ino)) return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; written bytes are here already, and RELEASE reports the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  /** As `open`, for a file created by opening this name. */
  create(ino: Ino, parent: Ino, name: FileName, holds: boolean): number {
    if (!this.passing.made(ino, parent, name)) return this.open(ino, holds);
    if (holds) this.#holders.set(ino, 1);
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

  /** A file was written in place. Returns whether only an earlier agent counted who has it open. */
  wroteUncounted(ino: Ino): boolean {
    if (this.#holders.has(ino)) return false;
    this.#holders.set(ino, 1);
    return true;
  }

  /** Counts the release of a file whose version it held. Returns whether it was the last. */
  releaseHolder(ino: Ino): boolean {
    const left = (this.#holders.get(ino) ?? 0) - 1;
    if (left > 0) this.#holders.set(ino, left);
    else this.#holders.delete(ino);
    return left <= 0;
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

const NONE: Ino[] = [];
