/** Inodes that have lost their last name. They stay until the kernel has forgotten them. */
import type { Ino } from "../base/ids.ts";
import type { Session } from "./addon.ts";

export class Orphans {
  readonly #session: Session;
  readonly #inodes = new Set<Ino>();
  /** The kernel has yet to be asked whether it knows these. */
  readonly #unasked: Ino[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  get all(): Ino[] {
    return [...this.#inodes];
  }

  /**
   * `isKnown`: the kernel knows the inode, and will report when it forgets it. Otherwise the kernel is asked: now if
   * `mayAsk`, else by `ask`, since the answer to a repeated request may yet tell the kernel of the inode.
   */
  add(ino: Ino, isKnown: boolean, mayAsk: boolean): void {
    this.#inodes.add(ino);
    this.#session.watch(ino, isKnown || !mayAsk ? 0 : 1);
    if (!isKnown && !mayAsk) this.#unasked.push(ino);
  }

  /** Asks the kernel about those that it has not been asked about. */
  ask(): void {
    if (this.#unasked.length === 0) return;
    for (const ino of this.#unasked.splice(0)) if (this.#inodes.has(ino)) this.#session.watch(ino, 1);
  }

  delete(ino: Ino): void {
    this.#inodes.delete(ino);
  }
}
