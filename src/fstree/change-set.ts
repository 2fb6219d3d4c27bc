/**
 * What one sealed epoch changed: the end state of every object that it created, changed or deleted, relative to the tree
 * that it started from. Plain data, so that it can cross threads and be stored.
 *
 * Objects are named by the overlay's inode numbers, since ids are given only when the tree is built (docs/design/merge.md, Identity).
 */
import type { Cid, FileId, FileName, Ino, Lamport } from "../base/ids.ts";
import type { EarlyCuts } from "../content/early-cuts.ts";
import type { ContentSegment } from "../content/segment.ts";
import type { ConflictOrigin, Content, FileRecord, FileType } from "../format/files/record.ts";
import type { Place } from "./object-rows.ts";

export interface ChangeSet {
  /** The epoch's number: ascending, per writer. */
  readonly epoch: number;
  /**
   * The commit that was adopted last when the epoch was sealed. Its tree is the merge's base, after each changed object's kept
   * rows (`base`, `baseNames`) are put into it. Usually those rows are in it already; they differ when the overlay adopted a
   * newer root while the object was dirty, or when the commit's blocks are gone (docs/decisions/0014-kept-base-rows.md).
   */
  readonly reference: Cid;
  /** What this epoch counts as when a winner is chosen: the adopted root's seq + 1 (docs/design/merge.md, Winner and base). */
  readonly lamport: Lamport;
  readonly objects: readonly ChangedObject[];
  /** Ids of unchanged directories that `names` refer to as parents. The root is always in it. */
  readonly directories: ReadonlyMap<Ino, FileId>;
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
  /** Of one that was born in this epoch: the object of the epoch that it was renamed over and whose id it takes, if that one is deleted. */
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
   * Each object of the epoch that still exists, as our own tree (before merging) held it: its new kept rows. Under the ids that
   * the merged tree has for it and its parents.
   */
  readonly objects: PublishedObjects;
  readonly base: NewBase;
  /** Units of ours that lost the conflict as a whole; undefined: none. */
  readonly moved?: MovedUnits;
  /** Units that others changed and of which the epoch changed nothing; undefined: none. */
  readonly changed?: readonly ChangedUnit[];
}

/** What of a unit others changed: for who changes it meanwhile. Plain data. */
export interface ChangedUnit {
  /** A directory with all below it, or names in one. */
  readonly unit:
    | { readonly kind: "tree"; readonly root: FileId }
    | { readonly kind: "family"; readonly parent: FileId; readonly names: readonly FileName[] };
  /** As our own tree has what is otherwise now. */
  readonly before: readonly ForeignObject[];
  /** What is there now and was not. */
  readonly added: readonly ForeignObject[];
}

export interface ForeignObject {
  readonly id: FileId;
  readonly record: FileRecord;
  readonly names: readonly Place[];
}

/**
 * Where units went that lost the conflict (docs/design/merge.md, Units): who has something of them goes on with the copy, as if somebody had renamed it
 * and put another one in its place. Plain data.
 */
export interface MovedUnits {
  /** Everything that they held in our own tree, whether the epoch changed it or not. */
  readonly objects: readonly MovedObject[];
  /** The names by which units are found, also those that nothing in our own tree has. */
  readonly names: readonly { readonly from: Place; readonly to: Place }[];
}

export interface MovedObject {
  /** The id in our own tree, and the one of its copy. */
  readonly from: FileId;
  readonly id: FileId;
  readonly type: FileType;
  /** The copy's. */
  readonly names: readonly Place[];
  /** Hard links of it that are not in the unit: they lead to what was kept. */
  readonly left: readonly Place[];
  readonly conflict: ConflictOrigin | undefined;
}

/** By inode number; a map, or what takes less memory. */
export interface PublishedObjects extends Iterable<readonly [Ino, PublishedObject]> {
  readonly size: number;
}

export interface PublishedObject {
  readonly id: FileId;
  readonly record: FileRecord;
  readonly names: readonly { readonly parent: FileId; readonly name: FileName }[];
}

/** A root to stand on from now on, and how it differs from what the overlay showed before. */
export interface NewBase {
  readonly commit: Cid;
  readonly tree: Cid;
  readonly seq: Lamport;
  /**
   * The rows that others changed: between our own tree (or the old base) and the new one. Undefined: too many to list.
   */
  readonly changes: readonly BaseChange[] | undefined;
}

/** One changed row of the base. `before` and `after` are the ids that a name leads to; equal when only the record changed. */
export type BaseChange =
  | { readonly kind: "self"; readonly id: FileId; readonly removed: boolean; readonly moved: boolean }
  | {
      readonly kind: "dentry";
      readonly parent: FileId;
      readonly name: FileName;
      readonly before: FileId | undefined;
      readonly after: FileId | undefined;
    };

/**
 * Reads bytes that the overlay holds: `length` bytes of data file `<ino>.<epoch>` at `offset`. They may be put into `target`, which
 * has room for them.
 */
export interface DataReader {
  readData(ino: Ino, epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Uint8Array>;
  /** Cuts that were found in the data file's first bytes while it was written, if those are still the same. */
  earlyCuts?(ino: Ino, epoch: number): Promise<EarlyCuts | undefined>;
  /** Whether all bytes of this file can be read as data of epoch 0, also where its content is the same. */
  hasWhole?(ino: Ino): boolean;
}
