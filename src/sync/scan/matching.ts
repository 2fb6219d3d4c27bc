/** What a scan found, by objects. */
import type { FileId, Ino } from "../../base/ids.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { DiskStat } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import { entryAt, entryOfInode } from "./entries-of-object.ts";
import type { Found } from "./walk.ts";

/** An object on the disk, or one that is entirely gone. */
export interface LocalObject {
  /** Unique among the objects of one scan. */
  readonly ino: Ino;
  /** Undefined: it is new. */
  readonly id: FileId | undefined;
  /** All names that it had when last synced. */
  readonly entries: readonly Entry[];
  /** Where it was found. */
  readonly found: Found[];
  /** Names that may not be gone: ignored, in a directory that cannot be read, or parked. */
  readonly kept: Place[];
}

export interface Matching {
  readonly root: LocalObject;
  /** The object of each name found; the root's is `root`. */
  readonly objectOf: ReadonlyMap<Found, LocalObject>;
  /** Parents before their entries; missing objects come last. */
  readonly objects: readonly LocalObject[];
  /**
   * Names that are gone, and were ignored at the last scan: the bucket keeps what is removed at an ignored path. The database
   * must forget them before anything is published.
   */
  readonly lostUnseen: readonly Entry[];
  /** The object with this id, if it was found or is missing. */
  ofId(id: FileId): LocalObject | undefined;
}

/** The entry to compare a found name with: the one at its own place, else one with its inode, else any. */
export function entryFor({ entries }: LocalObject, found: Found, parent: FileId | undefined): Entry | undefined {
  const { stat, name }: { stat: DiskStat; name: Found["name"] } = found;
  return entryAt(entries, parent, name) ?? entryOfInode(entries, stat.ino) ?? entries[0];
}
