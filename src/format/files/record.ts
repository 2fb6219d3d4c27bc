/**
 * A record: what a bucket stores about one file, directory, link or device, whatever its names (docs/reference/formats.md, Rows).
 *
 * Encoded by record-codec.ts as tagged fields; fields that this version does not know are kept as bytes and written back.
 * Content and long values live in linked blocks, so that a record alone always gives type, mode, size and times.
 */
import type { Cid, FileId, WriterId } from "../../base/ids.ts";

export type FileType = "file" | "directory" | "symlink" | "fifo" | "socket" | "char" | "block";

/** Where a file's bytes are. The record's `size` is their number; bytes beyond the content are a hole. */
export type Content =
  | { readonly kind: "empty" }
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "chunk"; readonly cid: Cid }
  /** `dataBytes`: the number of bytes outside holes, if there are holes and it is known. */
  | { readonly kind: "list"; readonly cid: Cid; readonly dataBytes?: number };

/**
 * A long value in its own block. Equal links mean equal values: length alone decides whether a value is linked.
 * linked-value.ts resolves it.
 */
export interface Linked {
  readonly linked: Cid;
}

/** Extended attributes by name; names are byte strings like file names. */
export type Xattrs = ReadonlyMap<string, Uint8Array>;

/** Marks a file as a conflict copy: its original, and the writer and epoch that made it. */
export interface ConflictOrigin {
  readonly of: FileId;
  readonly writer: WriterId;
  readonly epoch: number;
}

export interface FileRecord {
  readonly type: FileType;
  /** Permission, setuid, setgid and sticky bits: 12 bits, without the type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file, length of a symlink's target, else 0. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** When the object was made; undefined if unknown, as for objects that older versions or folder sync made. */
  readonly birthNs?: bigint | undefined;
  /** Device number of char and block devices (Linux encoding), else 0. */
  readonly rdev: number;
  /** Decoded records hold long ones as Linked; records to encode may have a map of any length. */
  readonly xattrs: Xattrs | Linked;
  readonly content: Content;
  /** A symlink's target as a byte string, Linked in decoded records if long; else "". */
  readonly target: string | Linked;
  readonly conflict: ConflictOrigin | undefined;
  /** Fields of later versions: tag → bytes, those of a link first if the field has one. Kept and merged as opaque bytes. */
  readonly unknown: ReadonlyMap<number, Uint8Array>;
}

/** Shared by records without unknown fields, which are most. */
export const NOTHING_UNKNOWN: FileRecord["unknown"] = new Map();

/** The extended attributes of most records. */
export const NO_XATTRS: Xattrs = new Map();
const NO_CONTENT: Content = { kind: "empty" };

/** A record of a newly created object: without attributes, content and target. */
export function newRecord(
  type: FileType,
  {
    mode,
    uid,
    gid,
    timeNs,
  }: { readonly mode: number; readonly uid: number; readonly gid: number; readonly timeNs: bigint },
): FileRecord {
  return {
    type,
    mode,
    uid,
    gid,
    size: 0,
    mtimeNs: timeNs,
    ctimeNs: timeNs,
    rdev: 0,
    xattrs: NO_XATTRS,
    content: NO_CONTENT,
    target: "",
    conflict: undefined,
    unknown: NOTHING_UNKNOWN,
  };
}
