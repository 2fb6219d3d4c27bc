/**
 * Versions that somebody saved just before a newer one took their place: the exchange brought them out, and the process died before it
 * looked at them. They go beside that place, under the name of a conflict copy, where the next scan finds them.
 */
import { blake3 } from "../crypto/hash.ts";
import { fileNames } from "../bucket/merge/conflict-names.ts";
import { failedWith } from "../objects/disk.ts";
import type { SyncDatabase } from "./database.ts";
import type { DiskPath, DiskStat, SyncDisk } from "./disk.ts";
import { NEW_PATH, newPath } from "./paths.ts";
import { pathInFolder } from "./plan.ts";
import { hasSameBytes, isSameInode } from "./seen.ts";

/** Clears what a run that was killed left behind. To be called before the database learns what that run put in place. */
export async function clearIncoming(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  for (const { name, stat } of await disk.list(NEW_PATH)) {
    if (stat.type === "directory") continue;
    const place = placeOfSaved(db, stat);
    if (place === undefined) await disk.unlink(newPath(name));
    else await putBeside(disk, newPath(name), stat, place);
  }
}

/** Where it was, if it holds what nobody else has. */
function placeOfSaved(db: SyncDatabase, stat: DiskStat): DiskPath | undefined {
  // Of what has other names, too, the bytes are there.
  if (stat.type !== "file" || stat.links > 1) return undefined;
  const entry = db.byInode(stat.ino).find(({ seen }) => isSameInode(seen, stat));
  if (entry === undefined || hasSameBytes(entry.seen, stat)) return undefined;
  return pathInFolder(db, entry) ?? [entry.name];
}

async function putBeside(disk: SyncDisk, from: DiskPath, stat: DiskStat, place: DiskPath): Promise<void> {
  const last = place.at(-1);
  if (last === undefined) return;
  let directory = place.slice(0, -1);
  for (const name of fileNames(last, blake3(Buffer.from(`${stat.ino} ${stat.size} ${stat.mtimeNs}`)))) {
    try {
      return await disk.rename(from, [...directory, name], "free");
    } catch (error) {
      if (failedWith(error, "EEXIST", "ENOTEMPTY", "EISDIR")) continue;
      // Its directory is gone: then into the folder itself.
      if (directory.length === 0 || !failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      directory = [];
    }
  }
}
