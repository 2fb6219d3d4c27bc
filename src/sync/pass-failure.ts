/** Why a pass failed, as errors: all local changes stay in the folder for the next pass. */
import { SynclineError } from "../base/errors.ts";
import { rootRolledBack } from "../bucket/root-witness.ts";
import type { PublishOutcome } from "../bucket/publish/outcome.ts";

export function publishFailureOf(outcome: Exclude<PublishOutcome, { kind: "published" }>): SynclineError {
  switch (outcome.kind) {
    case "unreachable":
    case "foreign":
      return outcome.cause;
    case "queued":
      return new SynclineError("root_moved", "Other writers published first on every attempt.", {
        hint: "The changes stay in the folder. The next pass tries again.",
      });
    case "rolled_back":
      return rootRolledBack(outcome.root);
    case "device_reused":
      return new SynclineError("state_in_use", "The bucket holds a later epoch of this device.", {
        hint: "The state is a copy of another one. Run the command again with a new device key.",
      });
  }
}

export function unstable(): SynclineError {
  return new SynclineError("root_moved", "Files kept changing during the sync.", {
    hint: "The changes stay in the folder. The next pass tries again.",
  });
}
