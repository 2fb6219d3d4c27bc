/**
 * The disk under the overlay, as a port: files in two folders and a small table store. A simulated disk that loses what
 * was not synced, fills up or fails takes its place in tests.
 *
 * All calls throw `disk_full` when there is no space (then nothing changed, except that a file may be longer or have
 * bytes that nobody refers to) and `store_failed` for other failures.
 */
import type { FileId, FileName, Ino } from "../../base/ids.ts";
import type { FileType } from "../../format/files/record.ts";

export type Folder = "journal" | "data";

export interface OverlayStorage {
  /** The names of the files in a folder, in no order. */
  list(folder: Folder): string[];
  /** Opens a file for reading and writing; `create` makes it when it is not there. Undefined when it is not there. */
  openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined;
  removeFile(folder: Folder, name: string): void;
  /** Removes many files without holding up the caller. Files that are not there are no error. */
  removeFiles(folder: Folder, names: readonly string[]): Promise<void>;
  /** Makes the folder's list of names survive power loss. */
  syncFolder(folder: Folder): Promise<void>;
  /** The same before it returns: holds up the caller, for what must be durable before something else is written. */
  syncFolderNow(folder: Folder): void;
  /** Opens the tables, and makes them the first time. */
  openTables(): StateTables;
  /** Space of the filesystem that the overlay lies on. */
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
  /** Fills `target` from `offset`; how many bytes there were, fewer only at the end of the file. */
  read(offset: number, target: Uint8Array): number;
  /** Writes all of `bytes`; the file grows, with zeros between. Throws `limit_exceeded` for an offset that is too great. */
  write(offset: number, bytes: Uint8Array): void;
  /** Makes the file's bytes and length survive power loss. */
  sync(): Promise<void>;
  /** The same before it returns. */
  syncNow(): void;
  close(): void;
}

/** What is known of an object that is not dirty: where it was last seen. Dirty objects that have an id have a row too. */
export interface InodeRow {
  readonly ino: Ino;
  readonly id: FileId;
  readonly type: FileType;
  /** A hint only: whoever follows it checks the id. */
  readonly parent: FileId;
  readonly name: FileName;
}

/** One atomic change of the tables. */
export interface TableChange {
  readonly inodes: Iterable<InodeRow>;
  readonly removedInodes: Iterable<Ino>;
  /** Dirty objects, encoded. */
  readonly objects: Iterable<readonly [Ino, Uint8Array]>;
  readonly removedObjects: Iterable<Ino>;
  /** All changed objects of the epoch in flight, encoded; undefined: as they are. */
  readonly sealed: Iterable<readonly [Ino, Uint8Array]> | undefined;
  /** Where a checkpoint stands; undefined: as it is. */
  readonly head: Uint8Array | undefined;
}

export interface StateTables {
  inode(ino: Ino): InodeRow | undefined;
  inodeOf(id: FileId): InodeRow | undefined;
  /** The greatest inode number in the table, 0 when it is empty. */
  greatestIno(): number;
  head(): Uint8Array | undefined;
  objects(): Iterable<Uint8Array>;
  sealed(): Iterable<Uint8Array>;
  apply(change: TableChange): void;
  /** Makes everything applied before survive power loss. */
  sync(): Promise<void>;
  close(): void;
}
