/**
 * Records that are kept: decoded ones share memory with the tree node that they came from, and would keep it alive. A hundred bytes
 * of a small file would then take 16 KiB.
 */
import { isLinked } from "../format/blocks/linked-value.ts";
import type { FileRecord } from "../format/files/record.ts";

/** The record with bytes of its own. */
export function ownRecord(record: FileRecord): FileRecord {
  const { content, xattrs } = record;
  if (content.kind !== "inline" && (isLinked(xattrs) || xattrs.size === 0)) return record;
  return {
    ...record,
    content: content.kind === "inline" ? { kind: "inline", bytes: content.bytes.slice() } : content,
    xattrs: isLinked(xattrs) ? xattrs : new Map([...xattrs].map(([name, value]) => [name, value.slice()])),
  };
}
