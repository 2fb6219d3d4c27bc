/**
 * Handles versions that a program saved just before a newer one replaced them: the exchange brings them out. They go back.
 * If that is impossible, or the process dies first, they go beside the place as a conflict copy, where the next scan finds
 * them.
 *
 * The exchanged file's name therefore tells how the new file looks and which object it is a version of. Any other file
 * under that name was brought out; unless it is the version that the database knows, it exists only here.
 */
import { blake3 } from "../../crypto/hash.ts";
import type { FileId, FileName } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import { fileNames } from "../../fstree/merge/conflict-names.ts";
import type { SyncDatabase } from "../known/database.ts";
import { REFUSALS, type DiskPath, type DiskStat, type SyncDisk } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import type { Ready } from "./incoming.ts";
import { inodeOfLeft, isOwn, NEW_PATH, newPath } from "../disk/paths.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import type { RedoLog } from "./redo-log.ts";
import { hasSameBytes, isSameInode } from "../known/seen.ts";
import { CLOSED } from "../scan/walk.ts";

interface Places {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
}

/**
 * Exchanges a new file with the one that the database knows at a path. "changed here": another file was there, and is there
 * again or beside it. `made`: what the database will record.
 */
export async function replaceWatched(
  { db, disk, redo }: Places & { readonly redo: RedoLog },
  path: DiskPath,
  entry: Entry,
  ready: Ready,
  made: Entry,
): Promise<"done" | "changed here"> {
  if (ready.stat.type === "file") await keepAcl(disk, path, ready);
  const watched = newPath(watchedName(ready, entry));
  await disk.rename(ready.path, watched, "replace");
  redo.exchanging(made);
  let how: "exchange" | "replace";
  try {
    how = await exchangeOrReplace(disk, watched, path);
  } catch (error) {
    // The caller discards it by its first name only.
    if (failedWith(error, ...NOT_THERE, ...REFUSALS)) await settleWatched({ db, disk }, watched);
    throw error;
  }
  redo.mark();
  if (how === "replace") return "done";
  const out = await disk.look(watched);
  if (out?.ino === entry.seen.ino && hasSameBytes(entry.seen, out)) {
    await disk.unlink(watched);
    return "done";
  }
  redo.takeBack();
  try {
    await disk.rename(watched, path, "exchange");
  } catch (error) {
    // Someone removed the new file by now.
    if (!failedWith(error, ...NOT_THERE)) throw error;
  }
  // A program that saves twice may have put yet another file there.
  await settleWatched({ db, disk }, watched);
  return "changed here";
}

/** Access lists are not synced: this machine's stays, or the mask would become the group's rights. */
async function keepAcl(disk: SyncDisk, path: DiskPath, { path: made, stat }: Ready): Promise<void> {
  try {
    await disk.copyAcl?.(path, made, stat.mode);
  } catch (error) {
    if (!failedWith(error, ...NO_ACL_HERE, ...NOT_THERE)) throw error;
  }
}

/** Some filesystems cannot exchange two names. */
async function exchangeOrReplace(disk: SyncDisk, from: DiskPath, to: DiskPath): Promise<"exchange" | "replace"> {
  try {
    await disk.rename(from, to, "exchange");
    return "exchange";
  } catch (error) {
    if (!failedWith(error, "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")) throw error;
    await disk.rename(from, to, "replace");
    return "replace";
  }
}

/** Clears what a killed run left. Call before the database learns what that run put in place. */
export async function clearIncoming(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  for (const { name, stat } of await disk.list(NEW_PATH)) {
    const left = inodeOfLeft(name);
    if (watchedOf(name) !== undefined) await settleWatched({ db, disk }, newPath(name));
    else if (stat.type === "unknown") continue;
    else if (left !== undefined && left !== stat.ino) await settleLeft({ db, disk }, newPath(name), stat, left);
    else if (stat.type !== "directory") await clearOne({ db, disk }, newPath(name), stat);
  }
}

/** Earlier versions of the program exchanged files without such names: only the inode may identify them. */
async function clearOne({ db, disk }: Places, path: DiskPath, stat: DiskStat): Promise<void> {
  const place = placeOfSaved(db, stat);
  if (place === undefined) await disk.unlink(path);
  else await putBeside(disk, path, stat, place);
}

/** Removes the unplaced new file, or the version that the database knows; brings any other into sight. */
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
  // If its directory is out of sight, it goes into the top folder.
  await putBeside(disk, path, stat, isInSight ? place : [db.parkedFrom(id)?.name ?? entry?.name ?? nameless(id)]);
}

/** Brings into sight what a program had put at the old name of a moved file. `ino`: the moved file's. */
async function settleLeft({ db, disk }: Places, path: DiskPath, stat: DiskStat, ino: bigint): Promise<void> {
  const [entry] = db.byInode(ino);
  const place = entry && pathInFolder(db, entry);
  if (place === undefined || isOwn(place)) return putBeside(disk, path, stat, [entry?.name ?? (`${ino}` as FileName)]);
  // Else the killed run had returned it already.
  if ((await disk.look(place))?.ino !== stat.ino) return putBeside(disk, path, stat, place);
  await disk.unlink(path);
}

function nameless(id: FileId): FileName {
  return id as string as FileName;
}

/** Includes the file's size and time: later writes into it are someone's changes. */
function watchedName({ path, stat }: Ready, { id }: Entry): FileName {
  return [path.at(-1), stat.ino, stat.size, stat.mtimeNs, id].join(".") as FileName;
}

function watchedOf(name: string): (Pick<DiskStat, "ino" | "size" | "mtimeNs"> & { id: FileId }) | undefined {
  const [, ino, size, mtimeNs, id] = /^[^.]+\.(\d+)\.(\d+)\.(-?\d+)\.([^.]+)$/.exec(name) ?? [];
  if (ino === undefined || size === undefined || mtimeNs === undefined || id === undefined) return undefined;
  return { ino: BigInt(ino), size: Number(size), mtimeNs: BigInt(mtimeNs), id: id as FileId };
}

/** Its old place, if its data exists only here. */
function placeOfSaved(db: SyncDatabase, stat: DiskStat): DiskPath | undefined {
  // A file with other names still has its bytes there.
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
      // Its directory is gone or shut: it goes into the top folder.
      if (directory.length === 0 || !failedWith(error, ...NOT_THERE, ...REFUSALS, ...CLOSED)) throw error;
      directory = [];
    }
  }
}

const NOT_THERE = ["ENOENT", "ENOTDIR", "ELOOP"];
const NO_ACL_HERE = ["ENOTSUP", "EOPNOTSUPP"];
