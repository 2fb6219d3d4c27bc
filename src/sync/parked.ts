/** Objects that a run which was killed left on their way: back to where the database has them, if that place is free. */
import type { FileId, FileName } from "../base/ids.ts";
import { failedWith } from "../objects/disk.ts";
import type { SyncDatabase } from "./database.ts";
import type { SyncDisk } from "./disk.ts";
import { PARKED_ID, PARKED_PATH, parkedPath } from "./paths.ts";
import { pathInFolder } from "./plan.ts";

/** Nothing that lies there is removed: what has no place stays, out of sight, until a round finds one for it. */
export async function returnParked(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  for (const { name, stat } of await disk.list(PARKED_PATH)) {
    const id = name as string as FileId;
    const entry = db.byId(id).find(({ seen }) => seen.ino === stat.ino);
    if (entry === undefined || entry.parent === PARKED_ID) continue;
    const place = pathInFolder(db, entry);
    if (place !== undefined && (await isReturned(disk, id, place))) continue;
    await db.transaction(() => {
      db.remove(entry);
      db.put({ ...entry, parent: PARKED_ID, name: id as string as FileName });
      db.unsettle(entry);
    });
  }
}

async function isReturned(disk: SyncDisk, id: FileId, place: readonly FileName[]): Promise<boolean> {
  try {
    await disk.rename(parkedPath(id), place, "free");
    return true;
  } catch (error) {
    if (failedWith(error, "EEXIST", "ENOENT", "ENOTDIR", "ELOOP", "ENOTEMPTY", "EISDIR")) return false;
    throw error;
  }
}
