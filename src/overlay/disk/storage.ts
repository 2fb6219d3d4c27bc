/**
 * The disk under the overlay, as a port: files in two folders and a small table store. Tests replace it with a simulated
 * disk that loses unsynced data, fills up or fails.
 *
 * All calls throw `disk_full` when there is no space, and `store_failed` for other failures. After `disk_full` nothing has
 * changed, except that a file may be longer or have unreferenced bytes.
 */
import type { FileId, FileName, Ino } from "../../base/ids.ts";
import type { FileType } from "../../format/files/record.ts";
import type { Place } from "../../fstree/object-rows.ts";

export type Folder = "journal" | "data";

export interface OverlayStorage {
  /** The names of the files in a folder, in no particular order. */
  list(folder: Folder): string[];
  /** Opens a file for reading and writing; `create` creates a missing one. Undefined if it is missing. */
  openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined;
  removeFile(folder: Folder, name: string): void;
  /** Removes many files without blocking the caller. Missing files are not an error. */
  removeFiles(folder: Folder, names: readonly string[]): Promise<void>;
  /** Makes the folder's list of names survive power loss. */
  syncFolder(folder: Folder): Promise<void>;
  /** As `syncFolder`, but blocks the caller until it is done: for what must be durable before the next write. */
  syncFolderNow(folder: Folder): void;
  /** Opens the tables; creates them the first time. */
  openTables(): StateTables;
  /** Space of the filesystem that holds the overlay. */
  space(): StorageSpace;
}

export interface StorageSpace {
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly files: number;
  readonly freeFiles: number;
}

export interface StoredFile {
  size(): number;
  /** Fills `target` from `offset`. Returns how many bytes there were: fewer only at the end of the file. */
  read(offset: number, target: Uint8Array): number;
  /** Writes all of `bytes`; the file grows, with zeros between. Throws `limit_exceeded` if the offset is too large. */
  write(offset: number, bytes: Uint8Array): void;
  /** Makes the file's bytes and length survive power loss. */
  sync(): Promise<void>;
  /** As `sync`, but before it returns. */
  syncNow(): void;
  close(): void;
}

/** Where an object that is not dirty was last seen. Dirty objects that have an id have a row too. */
export interface InodeRow {
  readonly ino: Ino;
  readonly id: FileId;
  readonly type: FileType;
  /** Only a hint: its user must check the id. */
  readonly parent: FileId;
  readonly name: FileName;
}

/** A dirty object, encoded. Undefined: the object is no longer dirty. */
export type ObjectRow = readonly [Ino, Uint8Array | undefined];

/** One atomic change of the tables. */
export interface TableChange {
  readonly inodes: Iterable<InodeRow>;
  readonly removedInodes: Iterable<Ino>;
  readonly objects: Iterable<ObjectRow>;
  /** Whether another epoch is in flight than before. Then the earlier one's rows are removed first. */
  readonly otherFlight: boolean;
  /** Objects that changed since the epoch in flight was sealed, encoded as they were then. */
  readonly sealed: Iterable<readonly [Ino, Uint8Array]>;
  /** The checkpoint's position. Undefined: unchanged. */
  readonly head: Uint8Array | undefined;
}

export const NO_CHANGE: TableChange = {
  inodes: [],
  removedInodes: [],
  objects: [],
  otherFlight: false,
  sealed: [],
  head: undefined,
};

export interface PlacedNumber {
  readonly ino: Ino;
  readonly isThere: boolean;
}

export interface StateTables {
  inode(ino: Ino): InodeRow | undefined;
  inodeOf(id: FileId): InodeRow | undefined;
  /** The number that stands for this id, and whether its row has this place. Much faster than the row. */
  numberOf(id: FileId, place: Place): PlacedNumber | undefined;
  /** The greatest inode number in the table, 0 when it is empty. */
  greatestIno(): number;
  /** Up to `limit` inode numbers in the table below this one, the greatest first. */
  inosBelow(ino: Ino, limit: number): Ino[];
  /** As `inosBelow`, but the rows. */
  inodesBelow(ino: Ino, limit: number): InodeRow[];
  head(): Uint8Array | undefined;
  objects(): Iterable<Uint8Array>;
  sealed(): Iterable<Uint8Array>;
  apply(change: TableChange): void;
  /**
   * One atomic change that is large: the objects in portions, with `between` between them, then the rest. Until it ends,
   * nothing else may be applied.
   */
  applyInPortions(
    portions: readonly Iterable<ObjectRow>[],
    rest: () => TableChange,
    between: () => Promise<void>,
  ): Promise<void>;
  /** Makes everything applied so far survive power loss, unless an earlier sync failed: then call `rewrite` first. */
  sync(): Promise<void>;
  /** Writes again what a failed sync or `compact` may have left in the system's memory only. */
  rewrite(): void;
  /** Shortens the log of changes if it is long. What was synced stays durable, even if this fails. */
  compact(): void;
  close(): void;
}
