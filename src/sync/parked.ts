/**
 * Objects out of sight: those that wait for their place, those that a run which was killed left on their way, and those that are to be
 * removed and turn out to hold what somebody saved meanwhile. None of them stays there for good.
 */
import type { FileId, FileName } from "../base/ids.ts";
import { ROOT_ID } from "../base/ids.ts";
import { directoryNames, fileNames } from "../bucket/merge/conflict-names.ts";
import { blake3 } from "../crypto/hash.ts";
import { failedWith } from "../objects/disk.ts";
import type { Entry, SyncDatabase } from "./database.ts";
import type { DiskPath, DiskStat, SyncDisk } from "./disk.ts";
import { isOwn, PARKED_ID, PARKED_PATH, parkedPath } from "./paths.ts";
import { pathInFolder } from "./plan.ts";

/** After a crash: back to where the database has them, if that place is free. What has no place stays until a round finds one for it. */
export async function returnParked(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  for (const { name, stat } of await disk.list(PARKED_PATH)) {
    const id = name as string as FileId;
    const entry = db.byId(id).find(({ seen }) => seen.ino === stat.ino);
    if (entry === undefined || entry.parent === PARKED_ID) continue;
    const place = pathInFolder(db, entry);
    if (place !== undefined && (await isMoved(disk, parkedPath(id), place))) continue;
    await db.transaction(() => {
      db.park(entry);
      db.unsettle(entry);
    });
  }
}

/**
 * What is to be removed and holds what nobody but somebody here has goes back to where it was, or beside that under the name of a
 * conflict copy: there the next scan finds it. Answers its path; undefined: it is gone after all.
 */
export async function returnToSight(db: SyncDatabase, disk: SyncDisk, entry: Entry): Promise<DiskPath | undefined> {
  const from = parkedPath(entry.id);
  const stat = await disk.look(from);
  if (stat === undefined) return undefined;
  const was = db.parkedFrom(entry.id);
  if (was !== undefined && (await isEmptied(db, disk, from, was))) {
    db.remove(entry);
    return undefined;
  }
  const above = was === undefined ? undefined : directoryOf(db, was);
  const name = was?.name ?? (entry.id as string as FileName);
  const parent = was?.parent ?? ROOT_ID;
  const isThere = above !== undefined && (await disk.look(above))?.type === "directory";
  const directory = isThere ? { path: above, id: parent } : { path: [], id: ROOT_ID };
  for (const each of namesFor(name, entry, stat)) {
    const place = { parent: directory.id, name: each };
    if (db.at(place) !== undefined) continue;
    const path = [...directory.path, each];
    if (!(await isMoved(disk, from, path))) continue;
    db.remove(entry);
    db.put({ ...entry, ...place });
    db.unsettle(place);
    return path;
  }
  return undefined;
}

/** What no round knows in a directory that was put out of sight goes into the one that has its place now. */
async function isEmptied(
  db: SyncDatabase,
  disk: SyncDisk,
  from: DiskPath,
  was: { readonly parent: FileId; readonly name: FileName },
): Promise<boolean> {
  const above = directoryOf(db, was);
  const into = above === undefined ? undefined : [...above, was.name];
  if ((await disk.look(from))?.type !== "directory" || into === undefined) return false;
  if ((await disk.look(into))?.type !== "directory") return false;
  for (const { name, stat } of await disk.list(from)) {
    if (db.byInode(stat.ino).length > 0 || !(await isMoved(disk, [...from, name], [...into, name]))) return false;
  }
  await disk.removeDirectory(from);
  return true;
}

/** Undefined: it is not in sight itself. */
function directoryOf(db: SyncDatabase, { parent, name }: { readonly parent: FileId; readonly name: FileName }) {
  const above = pathInFolder(db, { parent, name })?.slice(0, -1);
  return above === undefined || isOwn(above) ? undefined : above;
}

function* namesFor(name: FileName, { id }: Entry, { type, ino, size, mtimeNs }: DiskStat): Generator<FileName> {
  yield name;
  if (type === "directory") yield* directoryNames(name, id);
  else yield* fileNames(name, blake3(Buffer.from(`${ino} ${size} ${mtimeNs}`)));
}

async function isMoved(disk: SyncDisk, from: DiskPath, to: DiskPath): Promise<boolean> {
  try {
    await disk.rename(from, to, "free");
    return true;
  } catch (error) {
    if (failedWith(error, "EEXIST", "ENOENT", "ENOTDIR", "ELOOP", "ENOTEMPTY", "EISDIR")) return false;
    throw error;
  }
}
