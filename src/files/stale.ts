/** Whether an error says that an inode number stands for nothing any more: its name may lead to a newer object. */
import { ERRNO } from "../base/errno.ts";
import { FsError } from "../vfs/filesystem.ts";

export function isStale(error: unknown): boolean {
  return error instanceof FsError && error.errno === ERRNO.ESTALE;
}
