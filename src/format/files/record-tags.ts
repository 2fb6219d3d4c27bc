/** Tags of row fields, which unknown tags are allowed, and the rules that relate a record's fields. */
import { SynclineError } from "../../base/errors.ts";
import { MAX_INLINE_TARGET_BYTES, MAX_SYMLINK_BYTES } from "../../base/limits.ts";
import type { Codec } from "../blocks/cid.ts";
import { LINK_BIT } from "./fields.ts";
import { isLinked } from "../blocks/linked-value.ts";
import type { FileRecord, Linked } from "./record.ts";

// Forms: the first byte of a row's value.
export const FORM_RECORD = 1;
export const FORM_REFERENCE = 2;

/** Never change these. Tags below `mode` are the row's own; with LINK_BIT, the same field in a linked block. */
export const TAG = {
  type: 1,
  id: 2,
  parent: 3,
  name: 4,
  subdirs: 5,
  mode: 16,
  uid: 17,
  gid: 18,
  size: 19,
  mtime: 20,
  ctime: 21,
  rdev: 22,
  xattrs: 23,
  content: 24,
  target: 25,
  conflict: 26,
  dataBytes: 27,
  birth: 28,
  linkedXattrs: LINK_BIT | 23,
  contentChunk: LINK_BIT | 24,
  linkedTarget: LINK_BIT | 25,
  contentList: LINK_BIT | 26,
} as const;

export const ID_BYTES = 16;
export const CONFLICT_BYTES = ID_BYTES + ID_BYTES + 8;
const MAX_MODE = 0o7777;
const MAX_U32 = 0xffff_ffff;

/**
 * Later versions add tags after those of the first version, in both halves; unused tags among those stay unused.
 * `dataBytes` and `birth` came later; versions that do not know them keep them.
 */
export function mayBeUnknown(tag: number): boolean {
  return (tag & ~LINK_BIT) > TAG.conflict;
}

export const LINK_CODECS: Readonly<Record<number, Codec>> = {
  [TAG.linkedXattrs]: "dag-cbor",
  [TAG.linkedTarget]: "dag-cbor",
  [TAG.contentChunk]: "raw",
  [TAG.contentList]: "dag-cbor",
};

/** The rules that relate a record's fields, checked by both encoder and decoder. */
export function checkRecord(record: FileRecord): void {
  const { type, content, target } = record;
  if (record.mode > MAX_MODE || record.uid > MAX_U32 || record.gid > MAX_U32)
    throw invalidRow("has a mode or owner that is too large");
  if (type !== "char" && type !== "block" && record.rdev !== 0)
    throw invalidRow("has a device number but is not a device");
  if (type !== "file" && content.kind !== "empty") throw invalidRow("has content but is not a file");
  if (type !== "file" && type !== "symlink" && record.size !== 0)
    throw invalidRow("has a size but is not a file or symlink");
  if (content.kind === "inline" && content.bytes.length === 0) throw invalidRow("has empty inline content");
  if (content.kind === "inline" && content.bytes.length > record.size)
    throw invalidRow("has more content than its size");
  if (content.kind !== "empty" && record.size === 0) throw invalidRow("has content but size zero");
  if (content.kind === "list" && (content.dataBytes ?? 0) >= record.size)
    throw invalidRow("has too many data bytes for its size");
  if (type === "symlink") checkTargetSize(target, record.size);
  else if (target !== "") throw invalidRow("has a target but is not a symlink");
}

function checkTargetSize(target: string | Linked, size: number): void {
  const fits = isLinked(target)
    ? size > MAX_INLINE_TARGET_BYTES && size <= MAX_SYMLINK_BYTES
    : target.length > 0 && target.length <= MAX_INLINE_TARGET_BYTES && size === target.length;
  if (!fits) throw invalidRow("has a symlink target that does not match its size");
}

export function invalidRow(what: string): SynclineError {
  return new SynclineError("format_invalid", `A row's value ${what}.`);
}
