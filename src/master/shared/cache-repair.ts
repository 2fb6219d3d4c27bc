/**
 * What happens when a cache's file turns out to be damaged: it is replaced by an empty one, and the work is done again. Other
 * errors of SQLite get our codes.
 */
import Database from "better-sqlite3";
import { SynclineError } from "../../base/errors.ts";
import { isDiskFull } from "../../base/system-errors.ts";
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

  /** Runs work that uses the cache, and may be run twice. Throws `disk_full`, `store_failed`, and what `work` throws. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#run(work);
    } catch (error) {
      throw failure(error);
    }
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
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

function failure(cause: unknown): unknown {
  // The outer call replaces the cache.
  if (!(cause instanceof Database.SqliteError) || isUnreadable(cause)) return cause;
  if (isDiskFull(cause)) {
    const hint = "Free space on the disk of the master's cache of packs, and in its temporary folder.";
    return new SynclineError("disk_full", "The disk of the master's cache of packs is full.", { cause, hint });
  }
  const hint = "Check the disk of the master's cache of packs, and that the master may write to it.";
  return new SynclineError("store_failed", `Cannot use the master's cache of packs: ${cause.message}`, { cause, hint });
}
