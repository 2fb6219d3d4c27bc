/**
 * Extended attributes and symlink targets in memory. They count toward the most unpublished objects that memory should hold:
 * a file with 64 KiB of attributes takes as much as many files. Equal attributes of one object are kept once.
 */
import { XATTR_OVERHEAD_BYTES, VALUE_UNIT_BYTES } from "../base/limits.ts";
import { isLinked, xattrBytes } from "../format/blocks/linked-value.ts";
import type { FileRecord, Linked, Xattrs } from "../format/files/record.ts";

/** How many objects extended attributes or a target count as, besides the object that has them. Short ones: none. */
export function unitsOf(value: Xattrs | Linked | string): number {
  if (typeof value === "string") return Math.round(value.length / VALUE_UNIT_BYTES);
  if (isLinked(value) || value.size === 0) return 0;
  return Math.round((xattrBytes(value) + value.size * XATTR_OVERHEAD_BYTES) / VALUE_UNIT_BYTES);
}

/** The record, with the other's extended attributes if they are equal. */
export function withXattrsOf<Of extends Pick<FileRecord, "xattrs">>(
  record: Of,
  { xattrs }: Pick<FileRecord, "xattrs">,
): Of {
  return record.xattrs !== xattrs && areEqual(record.xattrs, xattrs) ? { ...record, xattrs } : record;
}

function areEqual(a: Xattrs | Linked, b: Xattrs | Linked): boolean {
  if (isLinked(a) || isLinked(b) || a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || Buffer.compare(value, other) !== 0) return false;
  }
  return true;
}
