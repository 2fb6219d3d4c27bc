/**
 * What this door has under temporary names, kept where a restart finds it: an agent that is killed leaves it, and nobody but its next run
 * knows that it is not being made any more.
 */
import type { FileName } from "../base/ids.ts";

export interface Unfinished {
  /** The temporary name and those of the folders around it, from the root. */
  readonly path: readonly FileName[];
  /** The name that it had, for as long as it may have to get it back. Undefined: it is to be removed. */
  readonly was: FileName | undefined;
}

/** Where it is kept over a restart. */
export interface UnfinishedStore {
  load(): readonly Unfinished[];
  /** Replaces what is kept. Throws what the disk says. */
  save(all: readonly Unfinished[]): void;
}

export class UnfinishedWork {
  readonly #store: UnfinishedStore;
  readonly #all: Set<Unfinished>;

  constructor(store: UnfinishedStore) {
    this.#store = store;
    this.#all = new Set(store.load());
  }

  get all(): Unfinished[] {
    return [...this.#all];
  }

  /** Before anything has the name. Throws what the disk says. */
  begin(work: Unfinished): Unfinished {
    this.#all.add(work);
    try {
      this.#store.save(this.all);
    } catch (error) {
      this.#all.delete(work);
      throw error;
    }
    return work;
  }

  /** Nothing has the name any more. */
  end(work: Unfinished): void {
    this.#all.delete(work);
    try {
      this.#store.save(this.all);
    } catch {
      // A full disk: the next run finds nothing under the name.
    }
  }
}
