/** Inodes without a name, which stay until the kernel has forgotten them. */
import type { Ino } from "../base/ids.ts";
import type { Session } from "./addon.ts";

export class Orphans {
  readonly #session: Session;
  readonly #inodes = new Set<Ino>();
  /** The kernel is to be asked whether it knows them. */
  readonly #unasked: Ino[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  get all(): Ino[] {
    return [...this.#inodes];
  }

  /**
   * `isKnown`: the kernel knows it, and will report when it forgets it. Otherwise the kernel is asked, if `mayAsk` now: it
   * may be about to learn of the inode from the answer to a request that is sent again.
   */
  add(ino: Ino, isKnown: boolean, mayAsk: boolean): void {
    this.#inodes.add(ino);
    this.#session.watch(ino, isKnown || !mayAsk ? 0 : 1);
    if (!isKnown && !mayAsk) this.#unasked.push(ino);
  }

  /** The kernel may be asked now. */
  ask(): void {
    if (this.#unasked.length === 0) return;
    for (const ino of this.#unasked.splice(0)) if (this.#inodes.has(ino)) this.#session.watch(ino, 1);
  }

  delete(ino: Ino): void {
    this.#inodes.delete(ino);
  }
}
