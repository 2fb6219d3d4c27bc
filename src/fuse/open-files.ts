/**
 * Which files are open through the kernel, as a hint in memory: handles themselves carry no state, so that they survive the
 * agent. Decides whether the kernel keeps a file's cached pages across an open.
 */
import type { FileName, Ino } from "../base/ids.ts";
import { PassingFiles } from "./passing-files.ts";
import { FOPEN } from "./protocol.ts";

export class OpenFiles {
  readonly passing = new PassingFiles();
  readonly #opens = new Map<Ino, number>();
  /** Files of which the kernel keeps bytes in the wrong place. */
  readonly #misplaced = new Set<Ino>();
  /** Files opened since everything changed: their pages are good again. Undefined: nothing was lost since the mount. */
  #revalidated: Set<Ino> | undefined;

  /** Counts an open; the flags to answer it with. */
  open(ino: Ino): number {
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    if (this.passing.opened(ino)) return FOPEN.DIRECT_IO | FOPEN.NOFLUSH;
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; what was written is here already, and RELEASE tells of the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  /** The same for a file that was made by opening this name. */
  create(ino: Ino, parent: Ino, name: FileName): number {
    if (!this.passing.made(ino, parent, name)) return this.open(ino);
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

  /** Bytes of this file were written elsewhere than where the kernel keeps them. */
  misplaced(ino: Ino): void {
    this.#misplaced.add(ino);
  }

  /** The files whose pages must go because of that: once their writes are answered, for until then pages are locked. */
  takeMisplaced(): Ino[] {
    if (this.#misplaced.size === 0) return NONE;
    const inodes = [...this.#misplaced];
    this.#misplaced.clear();
    return inodes;
  }

  /** Everything may have changed: cached pages go at the next open. The files open now, whose pages must go at once. */
  distrust(): Ino[] {
    this.#revalidated = new Set();
    return [...this.#opens.keys()];
  }
}

const NONE: Ino[] = [];
