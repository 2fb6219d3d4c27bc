/**
 * The entries of the database that a scan has to look at, at one moment, read in one pass: it asks for each of them several times. Of a
 * directory in which all is as it was they are the directories.
 */
import { groupBy } from "../../base/collections.ts";
import type { FileId } from "../../base/ids.ts";
import type { SyncDatabase } from "./database.ts";
import type { Entry } from "./entry.ts";

export class KnownEntries {
  readonly all: readonly Entry[];
  readonly #byParent: ReadonlyMap<FileId, readonly Entry[]>;
  readonly #byId: ReadonlyMap<FileId, readonly Entry[]>;
  readonly #byInode: ReadonlyMap<bigint, readonly Entry[]>;

  /** `settled`: directories with nothing but what was seen before, and whether there are directories in them. */
  constructor(db: SyncDatabase, settled: ReadonlyMap<FileId, boolean>) {
    this.all = db.parents().flatMap((parent) => {
      const hasDirectories = settled.get(parent);
      return hasDirectories === undefined ? db.children(parent) : hasDirectories ? db.directoriesIn(parent) : [];
    });
    this.#byParent = groupBy(this.all, ({ parent }) => parent);
    this.#byId = groupBy(this.all, ({ id }) => id);
    this.#byInode = groupBy(this.all, ({ seen }) => seen.ino);
  }

  /** By name. */
  children(parent: FileId): readonly Entry[] {
    return this.#byParent.get(parent) ?? [];
  }

  /** All names of an object, by parent and name. */
  byId(id: FileId): readonly Entry[] {
    return this.#byId.get(id) ?? [];
  }

  /** By parent and name. */
  byInode(ino: bigint): readonly Entry[] {
    return this.#byInode.get(ino) ?? [];
  }
}
