/** Makes a file or folder that this process does not hold open survive power loss. */
import { closeSync, openSync } from "node:fs";
import { failedWith } from "../../base/system-errors.ts";
import { storageError } from "./storage-error.ts";

/** `sync`: fsync or fdatasync. A missing file or folder is not an error. Rejects with `store_failed`. */
export async function syncPath(path: string, sync: (fd: number) => Promise<void>): Promise<void> {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (failedWith(error, "ENOENT")) return;
    throw storageError(error);
  }
  try {
    await sync(fd);
  } catch (error) {
    throw storageError(error);
  } finally {
    closeSync(fd);
  }
}
