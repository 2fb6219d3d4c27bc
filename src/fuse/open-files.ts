/**
 * Which files are open through the kernel, as a hint in memory: handles themselves carry no state, so that they survive the
 * agent. Decides whether the kernel keeps a file's cached pages across an open.
 */
import type { Ino } from "../base/ids.ts";
import { FOPEN } from "./protocol.ts";

export class OpenFiles {
  readonly #opens = new Map<Ino, number>();
  /** Files opened since everything changed: their pages are good again. Undefined: nothing was lost since the mount. */
  #revalidated: Set<Ino> | undefined;

  /** Counts an open; the flags to answer it with. */
  open(ino: Ino): number {
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    const current = this.#revalidated === undefined || this.#revalidated.has(ino);
    this.#revalidated?.add(ino);
    // NOFLUSH: close(2) then needs no round trip; what was written is here already, and RELEASE tells of the close.
    return current ? FOPEN.KEEP_CACHE | FOPEN.NOFLUSH : FOPEN.NOFLUSH;
  }

  release(ino: Ino): void {
    const count = (this.#opens.get(ino) ?? 0) - 1;
    if (count > 0) this.#opens.set(ino, count);
    else this.#opens.delete(ino);
  }

  /** Everything may have changed: cached pages go at the next open. The files open now, whose pages must go at once. */
  distrust(): Ino[] {
    this.#revalidated = new Set();
    return [...this.#opens.keys()];
  }
}
