/** Maps failures of system calls to our errors: `disk_full`, `limit_exceeded` and `store_failed`. */
import { SynclineError } from "../../base/errors.ts";
import { failedWith, isDiskFull } from "../../base/system-errors.ts";

/** Runs a system call and maps its failure to one of our codes. */
export function attempt<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    throw storageError(error);
  }
}

/** Somebody removed a data file while its agent ran: its bytes must not be published as zeros. */
export function goneDataFile(name: string): SynclineError {
  return new SynclineError(
    "store_failed",
    `The state folder's file data/${name} is gone. It had unpublished changes.`,
    {
      hint:
        "Put the file back, or copy what the mount still shows to another place. " +
        "If you restart the agent without it, the changed bytes become zeros, and `syncline status` names the files.",
    },
  );
}

export function storageError(error: unknown): SynclineError {
  if (error instanceof SynclineError) return error;
  if (isDiskFull(error)) {
    return new SynclineError("disk_full", "The disk under the state folder is full.", {
      hint: "Free some space on it. No written data is lost.",
      cause: error,
    });
  }
  if (failedWith(error, "EFBIG")) {
    return new SynclineError("limit_exceeded", "The disk under the state folder does not support files this large.", {
      cause: error,
    });
  }
  return new SynclineError("store_failed", "Cannot read or write the state folder.", {
    hint: "Check the state folder's disk and permissions.",
    cause: error,
  });
}
