/**
 * Permissions of what was made on Windows. It only tells whether a file is read-only, and Node.js shows 0666 or 0444 for
 * everything: elsewhere nobody could enter such a directory, and everybody could write to such a file.
 */
import type { FileType } from "../../format/files/record.ts";

/** Whether modes on this system tell only whether a file is read-only. */
export const ONLY_READ_ONLY = process.platform === "win32";

const OWNER_MAY_WRITE = 0o200;
const ANYONE_MAY_WRITE = 0o222;

/** The usual permissions of a new object. */
export function usualMode(type: FileType, mode: number): number {
  if (type === "directory") return 0o755;
  return (mode & OWNER_MAY_WRITE) === 0 ? 0o444 : 0o644;
}

/** The permissions of a file that somebody may have made read-only, or writable again. */
export function changedMode(type: FileType, known: number, before: number, now: number): number {
  if (type !== "file" || ((before ^ now) & OWNER_MAY_WRITE) === 0) return known;
  return (now & OWNER_MAY_WRITE) === 0 ? known & ~ANYONE_MAY_WRITE : known | OWNER_MAY_WRITE;
}
