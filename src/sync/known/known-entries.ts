/**
 * The database's entries that a scan looks at, as of one moment. Read in one pass, since the scan needs each several times.
 * For a directory whose entries are all unchanged, holds only its directories.
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

  /** `settled`: directories with only unchanged entries, and whether they contain directories. */
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
