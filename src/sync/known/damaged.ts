/** The error for a damaged database of what was synced. */
import { SynclineError } from "../../base/errors.ts";

export function damagedState(cause?: unknown): SynclineError {
  return new SynclineError("state_corrupt", "The record of what was synced is damaged.", {
    hint: "Move the folder's state away and sync again: folder and bucket are united, and nothing is deleted.",
    cause,
  });
}
