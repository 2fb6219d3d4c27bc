/** The error for a missing block, with one wording for all stores. */
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";

export function blockNotFound(cid: Cid): SynclineError {
  return new SynclineError("block_not_found", `Block ${cid} is not in the store.`, {
    hint: "Run `syncline verify --repair`, preferably on a machine whose cache or synced folder may still hold it.",
  });
}

/** Whether a block is missing or no longer intact. */
export function isGone(error: unknown): boolean {
  return hasCode(error, "block_not_found", "block_corrupt");
}
