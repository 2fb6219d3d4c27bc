/**
 * A record: what a bucket stores about one file, directory, link or device, whatever its names (docs/reference/formats.md, Rows).
 *
 * Encoded by record-codec.ts as tagged fields; fields that this version does not know are kept as bytes and written back.
 * Content and long values live in linked blocks, so that a record alone always gives type, mode, size and times.
 */
import type { Cid, FileId, WriterId } from "../../base/ids.ts";

export type FileType = "file" | "directory" | "symlink" | "fifo" | "socket" | "char" | "block";

/** Where a file's bytes are. `size` of the record says how many there are; bytes past the content are a hole. */
export type Content =
  | { readonly kind: "empty" }
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "chunk"; readonly cid: Cid }
  /** `dataBytes`: how many bytes are not in holes, where there are holes and that is known. */
  | { readonly kind: "list"; readonly cid: Cid; readonly dataBytes?: number };

/**
 * A long value that lives in a block of its own. Equal links are equal values: whether a value is linked depends on its
 * length alone. linked-value.ts resolves it.
 */
export interface Linked {
  readonly linked: Cid;
}

/** Extended attributes by name; names are byte strings like file names. */
export type Xattrs = ReadonlyMap<string, Uint8Array>;

/** Says that a file is a conflict copy: of which file, and which writer's which epoch made it. */
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
  /** Device number of char and block devices (Linux encoding), else 0. */
  readonly rdev: number;
  /** Decoded records hold long ones as Linked; whoever sets some may hand over a map of any length. */
  readonly xattrs: Xattrs | Linked;
  readonly content: Content;
  /** Target of a symlink as a byte string, Linked in decoded records when it is long; else "". */
  readonly target: string | Linked;
  readonly conflict: ConflictOrigin | undefined;
  /** Fields of later versions: tag → bytes, those of a link first if the field has one. Kept and merged as opaque bytes. */
  readonly unknown: ReadonlyMap<number, Uint8Array>;
}

/** Most records have none: they share this. */
export const NOTHING_UNKNOWN: FileRecord["unknown"] = new Map();

/** The extended attributes of most records. */
export const NO_XATTRS: Xattrs = new Map();
const NO_CONTENT: Content = { kind: "empty" };

/** A record of something that has just been made: without attributes, content and target. */
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
