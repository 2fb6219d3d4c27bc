/** Paths of what the database knows. */
import { ROOT_ID, type FileId, type FileName } from "../../base/ids.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { DiskPath } from "../disk/disk.ts";
import { PARKED_ID, PARKED_PATH } from "../disk/paths.ts";
import type { SyncDatabase } from "./database.ts";

/** An entry's path according to the database. Undefined: its directory is not in the folder. */
export function pathInFolder(db: SyncDatabase, place: Place): DiskPath | undefined {
  const names: FileName[] = [place.name];
  for (let at = place.parent; at !== ROOT_ID;) {
    if (at === PARKED_ID) return [...PARKED_PATH, ...names.reverse()];
    const above = db.placeOf(at);
    if (above === undefined || names.length > MAX_DEPTH) return undefined;
    names.push(above.name);
    at = above.parent;
  }
  return names.reverse();
}

/** A directory's path, as `pathInFolder`. */
export function directoryInFolder(db: SyncDatabase, id: FileId): DiskPath | undefined {
  if (id === ROOT_ID) return [];
  const place = db.placeOf(id);
  return place && pathInFolder(db, place);
}

/** The folder's directory at a path, according to the database. */
export function directoryIn(db: SyncDatabase, path: DiskPath): FileId | undefined {
  let id: FileId = ROOT_ID;
  for (const name of path) {
    const entry = db.at({ parent: id, name });
    if (entry?.record.type !== "directory") return undefined;
    id = entry.id;
  }
  return id;
}

const MAX_DEPTH = 4_096;
