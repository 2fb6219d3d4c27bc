/**
 * What one sealed epoch changed: the end state of every object that it created, changed or deleted, relative to the tree
 * that it started from. Plain data, so that it can cross threads and be stored.
 *
 * Objects are named by the overlay's inode numbers, since ids are given only when the tree is built (merge.md, Identity).
 */
import type { FileId, FileName, Ino } from "../base/ids.ts";
import type { Content, FileRecord } from "../format/record.ts";

export interface ChangeSet {
  /** The epoch's number: ascending, per writer. */
  readonly epoch: number;
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
    };

/** A run of a file's bytes. Data files hold a segment at the file's own offset (they are sparse). */
export interface Segment {
  readonly offset: number;
  readonly length: number;
  readonly from: "base" | "hole" | "data";
  /** The epoch whose data file `<ino>.<epoch>` holds the bytes; 0 unless from "data". */
  readonly epoch: number;
}

/** Reads bytes that the overlay holds: `length` bytes of data file `<ino>.<epoch>` at `offset`. */
export interface DataReader {
  readData(ino: Ino, epoch: number, offset: number, length: number): Promise<Uint8Array>;
}
