/**
 * Parked objects, out of sight: they wait for their place, were left on their way by a killed run, or were to be removed
 * but hold what someone saved meanwhile. None of them stays parked for good.
 */
import type { FileId, FileName } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import { directoryNames, fileNames } from "../../fstree/merge/conflict-names.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { blake3 } from "../../crypto/hash.ts";
import type { SyncDatabase } from "../known/database.ts";
import { REFUSALS, type DiskPath, type DiskStat, type SyncDisk } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import { isOwn, PARKED_ID, PARKED_PATH, parkedPath } from "../disk/paths.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { lookBelow, NOT_LISTED } from "../scan/walk.ts";

/**
 * Runs before a pass. An object that the database has elsewhere goes back there if that place is free. A file other than
 * the one parked here comes into sight. The rest waits for its place.
 */
export async function returnParked(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  const there = await disk.list(PARKED_PATH);
  for (const { name, stat } of there) {
    const id = name as string as FileId;
    const waiting = db.at({ parent: PARKED_ID, name });
    if (waiting?.seen.ino === stat.ino) continue;
    const entry = waiting === undefined ? await placeLeft(db, disk, id, stat.ino) : undefined;
    const place = entry && pathInFolder(db, entry);
    if (place !== undefined && (await tried(disk, parkedPath(id), place)) === "moved") continue;
    await db.transaction(async () => {
      if (entry === undefined) return void (await returnToSight(db, disk, id));
      db.park(entry);
      db.unsettle(entry);
    });
  }
  const names = new Set(there.map(({ name }) => name));
  const gone = db.children(PARKED_ID).filter(({ name }) => !names.has(name));
  if (gone.length > 0) await db.transaction(() => forget(db, gone));
}

/** The name that an object had before it was parked: of a file's names, one that no longer shows it. */
async function placeLeft(db: SyncDatabase, disk: SyncDisk, id: FileId, ino: bigint): Promise<Entry | undefined> {
  for (const entry of db.byId(id)) {
    if (entry.seen.ino !== ino) continue;
    const path = pathInFolder(db, entry);
    const there = path === undefined ? undefined : await lookBelow(disk, path);
    if (there === undefined || there === "closed" || there.ino !== ino) return entry;
  }
  return undefined;
}

/**
 * For while the bucket is out of reach: moves what a killed run parked back into sight, to its old place or beside it, else
 * to the top. The database is told first, so that `returnParked` can continue if this run is killed.
 */
export async function showParked(db: SyncDatabase, disk: SyncDisk): Promise<void> {
  const isDirectory = ({ record }: Entry) => record.type === "directory";
  const waiting = db.children(PARKED_ID);
  for (const entry of [...waiting.filter(isDirectory), ...waiting.filter((each) => !isDirectory(each))]) {
    const stat = await disk.look(parkedPath(entry.id));
    if (stat === undefined) continue;
    const was = db.parkedFrom(entry.id);
    for (const place of await freePlaces(db, disk, was, entry.id, stat)) {
      const moved = await moveFirst(db, entry, place);
      const path = pathInFolder(db, place);
      if (path !== undefined && (await tried(disk, parkedPath(entry.id), path)) === "moved") break;
      await db.transaction(() => db.park(moved, was));
    }
  }
}

async function moveFirst(db: SyncDatabase, entry: Entry, place: Place): Promise<Entry> {
  let moved = entry;
  await db.transaction(() => {
    moved = db.move(entry, place);
    db.unsettle(place);
  });
  return moved;
}

/** The first free place in each directory where it may return. */
async function freePlaces(
  db: SyncDatabase,
  disk: SyncDisk,
  was: Place | undefined,
  id: FileId,
  stat: DiskStat,
): Promise<Place[]> {
  const found: Place[] = [];
  for (const { directory, places } of homesOf(db, was, id, stat)) {
    if ((await disk.look(directory))?.type !== "directory") continue;
    for (const { place, path } of places) {
      if (db.at(place) !== undefined || (await disk.look(path)) !== undefined) continue;
      found.push(place);
      break;
    }
  }
  return found;
}

/** Someone cleared it away: it is fetched again. */
function forget(db: SyncDatabase, gone: readonly Entry[]): void {
  for (const entry of gone) {
    if (entry.record.type === "directory") forget(db, db.children(entry.id));
    db.remove(entry);
  }
  db.setFact("compare all", "yes");
}

/**
 * Returns an object to its old place, or beside it under the name of a conflict copy, if it has no other place and holds
 * data that exists only here. The next scan finds it. Answers its path. Undefined: it is gone after all, or must stay.
 */
export async function returnToSight(db: SyncDatabase, disk: SyncDisk, id: FileId): Promise<DiskPath | undefined> {
  const from = parkedPath(id);
  const stat = await disk.look(from);
  if (stat === undefined) return undefined;
  const waiting = db.byId(id).find(({ parent }) => parent === PARKED_ID);
  const was = db.parkedFrom(id) ?? db.byId(id).find((entry) => entry !== waiting);
  const above = was === undefined ? undefined : directoryOf(db, was);
  if (was !== undefined && above !== undefined && (await isEmptied(db, disk, from, [...above, was.name]))) {
    if (waiting !== undefined) db.remove(waiting);
    return undefined;
  }
  for (const { places } of homesOf(db, was, id, stat)) {
    for (const { place, path } of places) {
      const done = db.at(place) === undefined ? await tried(disk, from, path) : "taken";
      if (done === "taken") continue;
      if (done === "impossible") break;
      if (waiting !== undefined) {
        db.move(waiting, place);
        db.unsettle(place);
      }
      return path;
    }
  }
  return undefined;
}

/** A directory where an object may return, and its endless list of places there. */
interface Home {
  readonly directory: DiskPath;
  readonly places: Iterable<{ readonly place: Place; readonly path: DiskPath }>;
}

/** Its old directory if in sight, then the top. */
function* homesOf(db: SyncDatabase, was: Place | undefined, id: FileId, stat: DiskStat): Generator<Home> {
  const name = was?.name ?? (id as string as FileName);
  const home = (directory: DiskPath, parent: FileId): Home => ({ directory, places: placesIn(directory, parent) });
  const above = was && directoryOf(db, was);
  if (was !== undefined && above !== undefined) yield home(above, was.parent);
  yield home([], ROOT_ID);

  function* placesIn(directory: DiskPath, parent: FileId) {
    for (const free of namesFor(name, id, stat)) yield { place: { parent, name: free }, path: [...directory, free] };
  }
}

/** Moves what no pass knows out of a parked directory into the directory that now has its place. */
async function isEmptied(db: SyncDatabase, disk: SyncDisk, from: DiskPath, into: DiskPath): Promise<boolean> {
  if ((await disk.look(from))?.type !== "directory" || (await disk.look(into))?.type !== "directory") return false;
  for (const { name, stat } of await disk.list(from)) {
    if (db.byInode(stat.ino).length > 0) return false;
    if ((await tried(disk, [...from, name], [...into, name])) !== "moved") return false;
  }
  await disk.removeDirectory(from);
  return true;
}

/** Undefined: the directory itself is out of sight. */
function directoryOf(db: SyncDatabase, { parent, name }: Place): DiskPath | undefined {
  const above = pathInFolder(db, { parent, name })?.slice(0, -1);
  return above === undefined || isOwn(above) ? undefined : above;
}

/** The name itself, then alternatives without end. */
function* namesFor(name: FileName, id: FileId, { type, ino, size, mtimeNs }: DiskStat): Generator<FileName> {
  yield name;
  if (type === "directory") yield* directoryNames(name, id);
  else yield* fileNames(name, blake3(Buffer.from(`${ino} ${size} ${mtimeNs}`)));
}

/** "impossible": a path is missing, a parent is not a directory, or the disk refuses. */
async function tried(disk: SyncDisk, from: DiskPath, to: DiskPath): Promise<"moved" | "taken" | "impossible"> {
  try {
    await disk.rename(from, to, "free");
    return "moved";
  } catch (error) {
    if (failedWith(error, "EEXIST", "ENOTEMPTY", "EISDIR")) return "taken";
    if (failedWith(error, ...NOT_LISTED, ...REFUSALS)) return "impossible";
    throw error;
  }
}
