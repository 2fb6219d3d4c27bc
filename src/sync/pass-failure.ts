/** Why a pass failed, as errors: all local changes stay in the folder for the next pass. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { PublishOutcome } from "../bucket/publish/outcome.ts";

export function failureOf(outcome: Exclude<PublishOutcome, { kind: "published" }>): SynclineError {
  switch (outcome.kind) {
    case "unreachable":
    case "foreign":
      return outcome.cause;
    case "queued":
      return new SynclineError("root_moved", "Other writers were faster, many times.", {
        hint: "The changes stay in the folder; the next pass tries again.",
      });
    case "rolled_back":
      return rolledBack(outcome.root);
    case "device_reused":
      return new SynclineError("state_in_use", "The bucket holds a later epoch of this device.", {
        hint: "The state was copied from elsewhere: run the command again, with a new device key.",
      });
  }
}

export function unstable(): SynclineError {
  return new SynclineError("root_moved", "Neither the folder nor the bucket holds still.", {
    hint: "The changes stay in the folder; the next pass tries again.",
  });
}

export function rolledBack(root: Cid): SynclineError {
  return new SynclineError("root_rolled_back", `The bucket's root went back to ${root}.`, {
    hint: "Older data was put back, and nothing is done to the folder. Put the newer data back. To unite the folder with the older state: syncline sync URL DIR --accept.",
  });
}
