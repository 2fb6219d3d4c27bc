/**
 * Copies records for keeping. A decoded record shares memory with its tree node and would keep it alive: a hundred bytes of
 * a small file would take 16 KiB.
 */
import { isLinked } from "../format/blocks/linked-value.ts";
import { type FileRecord, NO_XATTRS, type Xattrs } from "../format/files/record.ts";

/** A copy of the record with its own bytes. */
export function ownRecord(record: FileRecord): FileRecord {
  const { content, xattrs } = record;
  if (content.kind !== "inline" && (isLinked(xattrs) || xattrs.size === 0)) return record;
  return {
    ...record,
    content: content.kind === "inline" ? { kind: "inline", bytes: content.bytes.slice() } : content,
    xattrs: isLinked(xattrs) ? xattrs : ownXattrs(xattrs),
  };
}

/** The attributes with their own bytes: a value may be a small part of a block, or of the pool that buffers come from. */
export function ownXattrs(xattrs: Xattrs): Xattrs {
  if (xattrs.size === 0) return NO_XATTRS;
  return new Map(Array.from(xattrs, ([name, value]) => [name, ownBytes(value)]));
}

function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
