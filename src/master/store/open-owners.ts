/** Tracks owners with open files; when there are too many, idle ones are closed, the longest unused first. */
import { MAX_OPEN_OWNERS } from "../limits.ts";

export interface Closable {
  /** Not in use right now. */
  readonly idle: boolean;
  /** Closes its files; they reopen on demand. */
  rest(): void;
}

export class OpenOwners {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #open = new Set<Closable>();

  constructor(limit: number = MAX_OPEN_OWNERS) {
    this.#limit = limit;
  }

  /** Records that it is open and was just used. */
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
