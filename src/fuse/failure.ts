/** What a failure that is no answer of the filesystem becomes for the program that called. */
import { ERRNO } from "../base/errno.ts";
import { SynclineError } from "../base/errors.ts";

/** A full disk is ENOSPC wherever it comes from; everything else is EIO, with its reason in the log. */
export function errnoOf(error: unknown): number {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof SynclineError && at.code === "disk_full") return ERRNO.ENOSPC;
    if ("code" in at && (at.code === "ENOSPC" || at.code === "EDQUOT" || at.code === "SQLITE_FULL"))
      return ERRNO.ENOSPC;
  }
  return ERRNO.EIO;
}

/** `promise`, or a rejection with the signal's reason as soon as it is aborted. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
