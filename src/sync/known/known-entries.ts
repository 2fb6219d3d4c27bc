/** All entries of the database at one moment, read in one pass: a scan asks for each of them several times. */
import { groupBy } from "../../base/collections.ts";
import type { FileId } from "../../base/ids.ts";
import type { SyncDatabase } from "./database.ts";
import type { Entry } from "./entry.ts";

export class KnownEntries {
  readonly all: readonly Entry[];
  readonly #byParent: ReadonlyMap<FileId, readonly Entry[]>;
  readonly #byId: ReadonlyMap<FileId, readonly Entry[]>;
  readonly #byInode: ReadonlyMap<bigint, readonly Entry[]>;

  constructor(db: SyncDatabase) {
    this.all = [...db.entries()];
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
