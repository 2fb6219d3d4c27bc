/** The error for a damaged database of what was synced. */
import { SynclineError } from "../../base/errors.ts";

export function damagedState(cause?: unknown): SynclineError {
  return new SynclineError("state_corrupt", "The folder's sync state is damaged.", {
    hint: "Move the folder's state away and sync again. Folder and bucket are then merged, and nothing is deleted.",
    cause,
  });
}
