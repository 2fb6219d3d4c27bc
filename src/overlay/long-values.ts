/**
 * Extended attributes, symlink targets and short contents in memory. The first two count toward the most unpublished objects
 * that memory should hold: a file with 64 KiB of attributes takes as much as many files. Equal values of one object are kept
 * once.
 */
import { XATTR_OVERHEAD_BYTES, VALUE_UNIT_BYTES } from "../base/limits.ts";
import { isLinked, xattrBytes } from "../format/blocks/linked-value.ts";
import type { Content, FileRecord, Linked, Xattrs } from "../format/files/record.ts";

/** An object that the base has, too, counts as this many more: publishing it takes twice the memory of a new one. */
export const KEPT_UNITS = 1;

/** How many objects extended attributes or a target count as, besides the object that has them. Short ones: none. */
export function unitsOf(value: Xattrs | Linked | string): number {
  if (typeof value === "string") return Math.round(value.length / VALUE_UNIT_BYTES);
  if (isLinked(value) || value.size === 0) return 0;
  return Math.round((xattrBytes(value) + value.size * XATTR_OVERHEAD_BYTES) / VALUE_UNIT_BYTES);
}

type Values = Pick<FileRecord, "xattrs" | "content">;

/** The record. Where its attributes or content equal the other's, it shares the other's copy in memory. */
export function withValuesOf<Of extends Values>(record: Of, other: Values): Of {
  const xattrs = areEqual(record.xattrs, other.xattrs) ? other.xattrs : record.xattrs;
  const content = contentOf(record.content, other.content);
  return xattrs === record.xattrs && content === record.content ? record : { ...record, xattrs, content };
}

/** `other` if both are inline and equal, else `content`. Contents that are not inline take little memory. */
export function contentOf(content: Content, other: Content | undefined): Content {
  if (content.kind !== "inline" || other?.kind !== "inline") return content;
  return Buffer.compare(content.bytes, other.bytes) === 0 ? other : content;
}

function areEqual(a: Xattrs | Linked, b: Xattrs | Linked): boolean {
  if (a === b) return true;
  if (isLinked(a) || isLinked(b) || a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || Buffer.compare(value, other) !== 0) return false;
  }
  return true;
}
