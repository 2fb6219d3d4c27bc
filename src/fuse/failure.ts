/** Maps failures to errnos for the calling program, and names objects in the log. */
import { ERRNO } from "../base/errno.ts";
import type { Ino } from "../base/ids.ts";
import { escapeForPrint } from "../base/names.ts";
import { DISK_FULL, systemCodeOf } from "../base/system-errors.ts";
import { orElse } from "../base/unless.ts";
import { type FileSystem, FsError } from "../vfs/filesystem.ts";

/**
 * A filesystem error has its own. A full disk is ENOSPC, and a file too large for the disk below is EFBIG, at any depth of
 * the cause chain. Everything else is EIO, with its reason in the log.
 */
export function errnoOf(error: unknown): number {
  if (error instanceof FsError) return error.errno;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const errno = ANSWERS.get(systemCodeOf(at));
    if (errno !== undefined) return errno;
  }
  return ERRNO.EIO;
}

/** Codes of this program, of the system and of SQLite. */
const ANSWERS = new Map<unknown, number>([
  ["disk_full", ERRNO.ENOSPC],
  ...DISK_FULL.map((code) => [code, ERRNO.ENOSPC] as const),
  ["EFBIG", ERRNO.EFBIG],
]);

/** The path of an inode, or its number if it has none. */
export function shownPath(fs: FileSystem, ino: Ino): string {
  return orElse(`inode ${ino}`, () => escapeForPrint(fs.pathOf(ino)));
}
