/** The end of a put: its caller's signal, its time, and whether one that failed may have taken effect. */
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import { failedWith } from "../base/system-errors.ts";
import type { PutOptions } from "./object-store.ts";

/**
 * Runs a put with a signal that aborts when the put must end. If it fails after that, throws the signal's reason, not the
 * put's error.
 */
export async function untilPutEnds<Result>(
  { signal, timeoutMs }: PutOptions,
  clock: Clock,
  put: (end: AbortSignal | undefined) => Promise<Result>,
): Promise<Result> {
  if (signal === undefined && timeoutMs === undefined) return put(undefined);
  const late = new AbortController();
  using _ = timeoutMs === undefined ? undefined : clock.after(timeoutMs, () => late.abort(tookTooLong(timeoutMs)));
  const end = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  try {
    return await put(end);
  } catch (error) {
    throw end.aborted ? end.reason : error;
  }
}

function tookTooLong(ms: number): SynclineError {
  return new SynclineError("time_out", `The bucket did not accept an object within ${ms} ms.`, {
    hint: "Try again when the bucket responds faster.",
  });
}

/** A rename that failed with one of these has changed nothing. */
const NOT_RENAMED = ["ENOSPC", "EDQUOT", "ENOENT", "EACCES", "EPERM", "EROFS"];

/** How far a replacement got. */
export interface ReplaceProgress {
  renamed: "no" | "perhaps" | "yes";
  token?: string | undefined;
}

/** Whether a replacement that failed may have taken effect. */
export function mayHaveHappened({ renamed }: ReplaceProgress, cause: unknown): boolean {
  return renamed === "yes" || (renamed === "perhaps" && !failedWith(cause, ...NOT_RENAMED));
}
