/** Which owners have their files open; when there are too many, those that nobody uses are closed, the longest unused first. */
import { MAX_OPEN_OWNERS } from "../limits.ts";

export interface Closable {
  /** Nobody uses it right now. */
  readonly idle: boolean;
  /** Closes its files; they are opened again when they are needed. */
  rest(): void;
}

export class OpenOwners {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #open = new Set<Closable>();

  constructor(limit: number = MAX_OPEN_OWNERS) {
    this.#limit = limit;
  }

  /** Says that it is open, and was used now. */
  used(owner: Closable): void {
    this.#open.delete(owner);
    this.#open.add(owner);
    if (this.#open.size <= this.#limit) return;
    for (const each of this.#open) {
      if (!each.idle) continue;
      this.#open.delete(each);
      each.rest();
      if (this.#open.size <= this.#limit) return;
    }
  }

  closed(owner: Closable): void {
    this.#open.delete(owner);
  }
}
