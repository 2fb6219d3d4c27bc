/** What went wrong as one of our errors, so that every command ends with a code, whatever was thrown. */
import { SynclineError } from "../base/errors.ts";

/** Ours as they are; `disk_full` or `local_io_failed` from the system; `internal` for a defect of ours. */
export function failureOf(error: unknown): SynclineError {
  const first = firstOf(error);
  if (first instanceof SynclineError) return first;
  const message = first instanceof Error ? first.message : String(first);
  if (!isSystemError(first)) return new SynclineError("internal", message, { cause: first });
  if (DISK_FULL.has(first.code)) {
    return new SynclineError("disk_full", `There is no room: ${message}.`, {
      hint: "Free some space, then run it again.",
      cause: first,
    });
  }
  return new SynclineError("local_io_failed", `${message}.`, { cause: first });
}

/** When closing things fails after a failure, the first one is the reason (TC39 Explicit Resource Management). */
export function firstOf(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && first.name === "SuppressedError" && "suppressed" in first) first = first.suppressed;
  return first;
}

const DISK_FULL = new Set(["ENOSPC", "EDQUOT"]);

function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && "syscall" in error && "code" in error && typeof error.code === "string";
}
