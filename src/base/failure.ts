/** Converts any thrown value to one of our errors, so that every command ends with a code. */
import { SynclineError } from "./errors.ts";
import { isDiskFull, isSystemError, systemCodeOf, type SystemError } from "./system-errors.ts";

/** Our errors unchanged; `disk_full` or `local_io_failed` for the system's; `internal` for our own bugs. */
export function failureOf(error: unknown): SynclineError {
  const [first] = eachOf(error);
  if (first instanceof SynclineError) return first;
  const message = first instanceof Error ? first.message : String(first);
  if (!isSystemError(first)) return new SynclineError("internal", message, { cause: first });
  if (isDiskFull(first)) {
    const where = typeof first.path === "string" ? ` at ${first.path}` : "";
    return new SynclineError("disk_full", `Out of disk space${where}: ${message}.`, {
      hint: "Free some disk space, then try again.",
      cause: first,
    });
  }
  const hint = WAYS_OUT.get(systemCodeOf(first) ?? "");
  return new SynclineError("local_io_failed", refusal(first), { hint, cause: first });
}

/** "notes.txt: no such file or directory (ENOENT, open)."; of the addon: "notes.txt: openat2: Permission denied." */
function refusal({ code, path, syscall, message }: SystemError): string {
  if (typeof path !== "string") return `${message}.`;
  if (syscall === undefined) return `${path}: ${message}.`;
  const reason = message.slice(message.startsWith(`${code}: `) ? code.length + 2 : 0).split(`, ${syscall}`, 1)[0];
  return `${path}: ${reason} (${code}, ${syscall}).`;
}

/** All errors if several occurred together, else the one. */
export function eachOf(error: unknown): readonly unknown[] {
  const first = firstOf(error);
  return first instanceof AggregateError && first.errors.length > 0 ? first.errors : [first];
}

/** If closing fails after a failure, the first error is the cause (TC39 Explicit Resource Management). */
export function firstOf(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && first.name === "SuppressedError" && "suppressed" in first) first = first.suppressed;
  return first;
}

const DATABASE_HINT = "Check that its folder is writable for this user, and that its disk is not read-only.";
const WAYS_OUT = new Map([
  ["SQLITE_CANTOPEN", DATABASE_HINT],
  ["SQLITE_READONLY", DATABASE_HINT],
  ["SQLITE_READONLY_DIRECTORY", DATABASE_HINT],
  ["ENOENT", "Check the path. The parent folder of a new file must exist."],
  ["ENOTDIR", "Check the path: one of its parents is a file."],
  ["EISDIR", "Give the path of a file."],
  ["EACCES", "Check the permissions of the path."],
  ["EPERM", "Check the permissions of the path."],
  ["EROFS", "The filesystem is read-only: choose another path."],
]);
