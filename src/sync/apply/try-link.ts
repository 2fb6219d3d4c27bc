/** Hard links, where the filesystem has them. */
import { failedWith } from "../../base/system-errors.ts";
import { NO_LINKS } from "../../objects/disk.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";

/** False: the filesystem has none, or allows none to this file. */
export async function tryLink(disk: SyncDisk, from: DiskPath, to: DiskPath): Promise<boolean> {
  try {
    await disk.link(from, to);
    return true;
  } catch (error) {
    if (!failedWith(error, ...NO_LINKS)) throw error;
    return false;
  }
}
