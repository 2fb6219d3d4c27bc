/**
 * Versions that somebody saved just before a newer one took their place: the exchange brings them out. They go back; where that cannot be, or the
 * process dies before it looks at them, they go beside that place, under the name of a conflict copy, where the next scan finds them.
 *
 * So what is exchanged has a name that tells how the new file looks, and of which object it is a version: whatever else lies under that name is
 * what came out, and unless it is the version that the database knows nobody else has it.
 */
import { blake3 } from "../../crypto/hash.ts";
import type { FileId, FileName } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import { fileNames } from "../../fstree/merge/conflict-names.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath, DiskStat, SyncDisk } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import type { Ready } from "./incoming.ts";
import { isOwn, NEW_PATH, newPath } from "../disk/paths.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import type { RedoLog } from "./redo-log.ts";
import { hasSameBytes, isSameInode } from "../known/seen.ts";

interface Places {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
}

/**
 * Exchanges a new file and what the database knows at a path. "changed here": that was another one, and it is there again, or beside it.
 * `made`: what the database is to know then.
 */
export async function replaceWatched(
  { db, disk, redo }: Places & { readonly redo: RedoLog },
  path: DiskPath,
  entry: Entry,
  ready: Ready,
  made: Entry,
): Promise<"done" | "changed here"> {
  const watched = newPath(watchedName(ready, entry));
  await disk.rename(ready.path, watched, "replace");
  redo.exchanging(made);
  try {
    await disk.rename(watched, path, "exchange");
  } catch (error) {
    if (failedWith(error, ...NOT_THERE)) await settleWatched({ db, disk }, watched);
    if (!failedWith(error, "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")) throw error;
    await disk.rename(watched, path, "replace");
    redo.mark();
    return "done";
  }
  redo.mark();
  const out = await disk.look(watched);
  if (out?.ino === entry.seen.ino && hasSameBytes(entry.seen, out)) {
    await disk.unlink(watched);
    return "done";
  }
  redo.takeBack();
  try {
    await disk.rename(watched, path, "exchange");
  } catch (error) {
    // Somebody took the new one away by now.
    if (!failedWith(error, ...NOT_THERE)) throw error;
  }
  // Who saves twice has put another one there meanwhile.
  await settleWatched({ db, disk }, watched);
  return "changed here";
}

/** Clears what a run that was killed left behind. To be called before the database learns what that run put in place. */
export async function clearIncoming(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  for (const { name, stat } of await disk.list(NEW_PATH)) {
    if (watchedOf(name) !== undefined) await settleWatched({ db, disk }, newPath(name));
    else if (stat.type !== "directory") await clearOne({ db, disk }, newPath(name), stat);
  }
}

/** An earlier version exchanged what had no such name: then the inode tells, if anything does. */
async function clearOne({ db, disk }: Places, path: DiskPath, stat: DiskStat): Promise<void> {
  const place = placeOfSaved(db, stat);
  if (place === undefined) await disk.unlink(path);
  else await putBeside(disk, path, stat, place);
}

/** Removes the new file that did not get its place, or the version that the database knows; anything else comes in sight. */
async function settleWatched({ db, disk }: Places, path: DiskPath): Promise<void> {
  const stat = await disk.look(path);
  const watched = watchedOf(path.at(-1) ?? "");
  if (stat === undefined || watched === undefined) return;
  const { ino, size, mtimeNs, id } = watched;
  const isNew = stat.ino === ino && stat.size === size && stat.mtimeNs === mtimeNs;
  const known = db.byId(id);
  const isKnown = known.some(({ seen }) => isSameInode(seen, stat) && hasSameBytes(seen, stat));
  if (stat.type !== "directory" && (isNew || isKnown)) return disk.unlink(path);
  const [entry] = known;
  const place = entry === undefined ? undefined : pathInFolder(db, entry);
  const isInSight = place !== undefined && !isOwn(place);
  // Without its directory into the folder itself.
  await putBeside(disk, path, stat, isInSight ? place : [db.parkedFrom(id)?.name ?? entry?.name ?? nameless(id)]);
}

function nameless(id: FileId): FileName {
  return id as string as FileName;
}

/** A file's size and time are part of it: what was written into it meanwhile is somebody's. */
function watchedName({ path, stat }: Ready, { id }: Entry): FileName {
  return [path.at(-1), stat.ino, stat.size, stat.mtimeNs, id].join(".") as FileName;
}

function watchedOf(name: string): (Pick<DiskStat, "ino" | "size" | "mtimeNs"> & { id: FileId }) | undefined {
  const [, ino, size, mtimeNs, id] = /^[^.]+\.(\d+)\.(\d+)\.(-?\d+)\.([^.]+)$/.exec(name) ?? [];
  if (ino === undefined || size === undefined || mtimeNs === undefined || id === undefined) return undefined;
  return { ino: BigInt(ino), size: Number(size), mtimeNs: BigInt(mtimeNs), id: id as FileId };
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
      if (directory.length === 0 || !failedWith(error, ...NOT_THERE)) throw error;
      directory = [];
    }
  }
}

const NOT_THERE = ["ENOENT", "ENOTDIR", "ELOOP"];
