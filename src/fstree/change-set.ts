/**
 * What one sealed epoch changed: the end state of every object that it created, changed or deleted, relative to its
 * starting tree. Plain data, so that it can cross threads and be stored.
 *
 * Objects are named by the overlay's inode numbers: ids are given when the tree is built (docs/design/merge.md, Identity).
 */
import type { Cid, FileId, FileName, Ino, Lamport } from "../base/ids.ts";
import type { EarlyCuts } from "../content/early-cuts.ts";
import type { Stretch } from "../content/chunker.ts";
import type { ContentSegment } from "../content/segment.ts";
import type { ConflictOrigin, Content, FileRecord, FileType } from "../format/files/record.ts";
import type { Units } from "../format/commits/policy.ts";
import type { TreeObject } from "./fs-reader.ts";
import type { Place } from "./object-rows.ts";

export interface ChangeSet {
  /** The epoch's number: ascending, per writer. */
  readonly epoch: number;
  /**
   * The commit that was adopted last when the epoch was sealed. The merge's base is its tree with each changed object's
   * kept rows (`base`, `baseNames`). Usually the tree has those rows already. It does not when the overlay adopted a newer
   * root while the object was dirty, or when the commit's blocks are gone (docs/design/merge.md, The base of an epoch).
   */
  readonly reference: Cid;
  /** The epoch's seq when a winner is chosen: the adopted root's seq + 1 (docs/design/merge.md, Winner and base). */
  readonly lamport: Lamport;
  readonly objects: readonly ChangedObject[];
  /** Ids of unchanged directories that `names` refer to as parents. The root is always in it. */
  readonly directories: ReadonlyMap<Ino, FileId>;
  /** Names in the reference of what the writer did not show yet: the merge's base is without it. Absent: none. */
  readonly notShown?: readonly Place[];
  /** The latest commits of this epoch that were noted before their swaps were sent. Absent: none. */
  readonly sent?: readonly SentCommit[];
}

/** A commit that a swap may have put into the bucket. */
export interface SentCommit {
  readonly commit: Cid;
  readonly seq: Lamport;
}

export interface ChangedObject {
  readonly ino: Ino;
  /** Undefined when the object was born in this epoch. */
  readonly id: FileId | undefined;
  /** Names before this epoch, in the tree that it started from. Empty when born. */
  readonly baseNames: readonly { readonly parent: FileId; readonly name: FileName }[];
  /** The base's record, kept so that an epoch can be merged even when the base's blocks are gone. Undefined when born. */
  readonly base: FileRecord | undefined;
  /** Names now. Empty: deleted. A directory has at most one. */
  readonly names: readonly { readonly parent: Ino; readonly name: FileName }[];
  /** The record now; its `content` counts only when `content` below is "same". Undefined when deleted. */
  readonly record: FileRecord | undefined;
  readonly content: ContentChange;
  /** For an object born here: the epoch's object that it was renamed over. It takes that id if that object is deleted. */
  readonly replaces?: Ino;
}

/** `same`: record.content stands. `edited`: the file's bytes are these segments, in order, gapless, up to record.size. */
export type ContentChange =
  | { readonly kind: "same" }
  | {
      readonly kind: "edited";
      /** What `from: "base"` segments refer to; its offsets are the file's offsets. */
      readonly base: Content;
      readonly baseSize: number;
      readonly segments: readonly Segment[];
      /** The record's ctime if the bytes turn out to differ from the record's content. Absent: the record has its ctime. */
      readonly ctimeNs?: bigint;
    };

/** A run of a changed file's bytes. */
export type Segment = ContentSegment;

/** What the overlay learns when its epoch is in the bucket. Plain data. */
export interface PublishedEpoch {
  readonly epoch: number;
  /**
   * Each object of the epoch that still exists, as our own tree (before merging) held it: its new kept rows. The ids of
   * objects and parents are the merged tree's.
   */
  readonly objects: PublishedObjects;
  readonly base: NewBase;
  /** The policy's units. Absent if others changed nothing. */
  readonly units?: Units;
  /** Our files and units that lost the conflict; undefined: none. */
  readonly moved?: MovedVersions;
  /** Units that others changed and the epoch did not; undefined: none. */
  readonly changed?: readonly ChangedUnit[];
}

/** What others changed in a unit, for a local program that changes the unit meanwhile. Plain data. */
export interface ChangedUnit {
  /** A directory and everything below it, or some names in a directory. */
  readonly unit:
    | { readonly kind: "tree"; readonly root: FileId }
    | { readonly kind: "family"; readonly parent: FileId; readonly names: readonly FileName[] };
  /** The objects that differ now, as our own tree has them. */
  readonly before: readonly ForeignObject[];
  /** Objects that are new. */
  readonly added: readonly ForeignObject[];
}

export type ForeignObject = Omit<TreeObject, "subdirs">;

/**
 * Where files and units that lost the conflict went (docs/design/merge.md, In use). Programs that use them continue with the
 * copy, as if it had been renamed and another one put in its place. Plain data.
 */
export interface MovedVersions {
  /** These files, and all objects of these units in our own tree, changed by the epoch or not. */
  readonly objects: readonly MovedObject[];
  /** The names that they are found by, including names of units that nothing in our own tree has. */
  readonly names: readonly { readonly from: Place; readonly to: Place }[];
}

export interface MovedObject {
  /** The id in our own tree, and the copy's id. */
  readonly from: FileId;
  readonly id: FileId;
  readonly type: FileType;
  /** The copy's. */
  readonly names: readonly Place[];
  /** Names that it loses to the version that was kept: its hard links outside the unit, or all names of a single file. */
  readonly left: readonly Place[];
  readonly conflict: ConflictOrigin | undefined;
}

/** By inode number: a map, or something that takes less memory. */
export interface PublishedObjects extends Iterable<readonly [Ino, PublishedObject]> {
  readonly size: number;
}

export interface PublishedObject {
  readonly id: FileId;
  readonly record: FileRecord;
  readonly names: readonly { readonly parent: FileId; readonly name: FileName }[];
}

/** A new base root, and how it differs from what the overlay showed before. */
export interface NewBase {
  readonly commit: Cid;
  readonly tree: Cid;
  readonly seq: Lamport;
  /** The rows that others changed, from our own tree (or the old base) to the new one. Undefined: too many to list. */
  readonly changes: readonly BaseChange[] | undefined;
}

/** One changed row of the base. `before` and `after` are the ids at a name; equal when only the record changed. */
export type BaseChange =
  | { readonly kind: "self"; readonly id: FileId; readonly removed: boolean; readonly moved: boolean }
  | {
      readonly kind: "dentry";
      readonly parent: FileId;
      readonly name: FileName;
      readonly before: FileId | undefined;
      readonly after: FileId | undefined;
    };

/** The ids of the objects that a change is about. */
export function idsOf(change: BaseChange): FileId[] {
  if (change.kind === "self") return [change.id];
  return [change.before, change.after].filter((id) => id !== undefined);
}

/**
 * Reads bytes that the overlay holds: `length` bytes of data file `<ino>.<epoch>` at `offset`. May put them into `target`,
 * which has room for them. If at least `length` zeros follow, it may return how many instead.
 */
export interface DataReader {
  readData(ino: Ino, epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Stretch>;
  /** Cuts that were found in the data file's first bytes while it was written, if those are still the same. */
  earlyCuts?(ino: Ino, epoch: number): Promise<EarlyCuts | undefined>;
  /** Whether all bytes of this file can be read as data of epoch 0, also where its content is the same. */
  hasWhole?(ino: Ino): boolean;
  /**
   * For files that others may change while they are read: asked after `size` bytes of one were read, or failed to be. If it
   * is to be read `again`, all of it is, with its new size. Undefined: it is as the change set says.
   */
  seen?(ino: Ino, size: number): Promise<SeenFile | undefined>;
}

/** How a file was when its bytes were read. */
export interface SeenFile extends Pick<FileRecord, "size" | "mode" | "uid" | "gid" | "mtimeNs"> {
  readonly again: boolean;
}
