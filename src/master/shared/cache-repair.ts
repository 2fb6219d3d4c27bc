/** What happens when a cache's file turns out to be damaged: it is replaced by an empty one, and the work is done again. */
import { isUnreadable } from "../store/block-index.ts";

export class CacheRepair {
  readonly #replace: (error: unknown) => void;
  #lost = new AbortController();

  constructor(replace: (error: unknown) => void) {
    this.#replace = replace;
  }

  /** Aborted once the present file is replaced: packs that were read before may be unknown for a while. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Runs work that uses the cache, and may be run twice. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const { lost } = this;
    try {
      return await work();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      // If several calls find it damaged at once, only one replaces it.
      if (!lost.aborted) {
        this.#replace(error);
        this.#lost.abort(error);
        this.#lost = new AbortController();
      }
      return work();
    }
  }
}
