/**
 * Encodes and decodes records as tagged fields (fields.ts): the part of a row's value that rows.ts puts around them.
 *
 * The decoder is on the path of every `ls -l`, so it is written out by hand; it accepts exactly what the encoder makes.
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { MAX_VALUE_BYTES } from "../../base/limits.ts";
import { CID_BYTES, cidFromBytes } from "../blocks/cid.ts";
import { encodeDataBytes } from "./data-bytes.ts";
import { type EncodedValue, FieldWriter, LINK_BIT, misspelt } from "./fields.ts";
import { TYPE_CODES } from "./keys.ts";
import { encodeTarget, encodeXattrs, isLinked, type LinkBlock, linkLongValues } from "../blocks/linked-value.ts";
import type { ConflictOrigin, FileRecord, FileType } from "./record.ts";
import { type DecodedRow, NO_ROW_FIELDS, type RowFields, RowReader } from "./record-reader.ts";
import {
  checkRecord,
  CONFLICT_BYTES,
  FORM_RECORD,
  FORM_REFERENCE,
  ID_BYTES,
  invalidRow,
  mayBeUnknown,
  TAG,
} from "./record-tags.ts";

/** Encodes a row's value. `link` stores the blocks of long values. Throws `limit_exceeded`, `format_invalid`. */
export function encodeRecord(record: FileRecord, link: LinkBlock, row: RowFields = NO_ROW_FIELDS): EncodedValue {
  const linked = linkLongValues(record, link);
  checkRecord(linked);
  const writer = new FieldWriter(FORM_RECORD);
  writeRowFields(writer, linked.type, row);
  writer.uint(TAG.mode, linked.mode);
  writer.uint(TAG.uid, linked.uid);
  writer.uint(TAG.gid, linked.gid);
  writer.uint(TAG.size, linked.size);
  writer.int(TAG.mtime, linked.mtimeNs);
  writer.int(TAG.ctime, linked.ctimeNs);
  writer.uint(TAG.rdev, linked.rdev);
  writeLongFields(writer, linked);
  return writer.finish();
}

/** Encodes a row that only references an object. */
export function encodeReference(type: FileType, id: FileId): EncodedValue {
  const writer = new FieldWriter(FORM_REFERENCE);
  writeRowFields(writer, type, { ...NO_ROW_FIELDS, id });
  return writer.finish();
}

/** Decodes a bare record from `encodeRecord`. Throws `format_invalid`. */
export function decodeRecord(encoded: EncodedValue): FileRecord {
  const { row, record } = decodeRow(encoded);
  const bare = row.id === undefined && row.parent === undefined && row.name === undefined && row.subdirs === 0;
  if (record === undefined || !bare) throw invalidRow("is not a bare record");
  return record;
}

/**
 * Decodes a row's value. Byte arrays in the result share memory with `encoded.value`. Throws `format_invalid` for anything
 * that `encodeRecord` and `encodeReference` would encode differently.
 */
export function decodeRow(encoded: EncodedValue): DecodedRow {
  const { value, links } = encoded;
  if (value.length > MAX_VALUE_BYTES) throw invalidRow("is too long");
  const fields = new RowReader();
  let lastTag = 0;
  let link = 0;
  let at = 1;
  while (at < value.length) {
    const tag = value[at] ?? 0;
    let length = value[at + 1] ?? 0;
    let from = at + 2;
    if (length >= 0x80) {
      const high = value[from++] ?? 0;
      if (high === 0 || high >= 0x80) throw misspelt();
      length = (length & 0x7f) | (high << 7);
    }
    const to = from + length;
    if (tag <= lastTag || from > value.length || to > value.length)
      throw invalidRow("has fields that are out of order or truncated");
    if (tag < LINK_BIT) fields.read(tag, value, from, to);
    else if (link < links.length) fields.readLinked(tag, value, from, to, links[link++] as Cid);
    else throw invalidRow("lacks a link");
    lastTag = tag;
    at = to;
  }
  if (link !== links.length) throw invalidRow("has an extra link");
  return fields.finish(value[0] ?? 0);
}

function writeRowFields(writer: FieldWriter, type: FileType, row: RowFields): void {
  writer.uint(TAG.type, TYPE_CODES[type]);
  if (row.id !== undefined) writer.bytes(TAG.id, Buffer.from(row.id, "hex"));
  if (row.parent !== undefined) writer.bytes(TAG.parent, Buffer.from(row.parent, "hex"));
  if (row.name !== undefined) writer.bytes(TAG.name, Buffer.from(row.name, "latin1"));
  writer.uint(TAG.subdirs, row.subdirs);
}

function writeLongFields(writer: FieldWriter, record: FileRecord): void {
  const { xattrs, content, target, conflict } = record;
  const dataBytes = content.kind === "list" ? content.dataBytes : undefined;
  const unknown = [...record.unknown]
    .filter(([tag]) => tag !== TAG.dataBytes || dataBytes === undefined)
    .sort(([a], [b]) => a - b);
  if (!isLinked(xattrs) && xattrs.size > 0) writer.bytes(TAG.xattrs, encodeXattrs(xattrs));
  if (content.kind === "inline") writer.bytes(TAG.content, content.bytes);
  if (!isLinked(target) && target !== "") writer.bytes(TAG.target, encodeTarget(target));
  if (conflict !== undefined) writer.bytes(TAG.conflict, conflictBytes(conflict));
  if (content.kind === "list" && dataBytes !== undefined)
    writer.bytes(TAG.dataBytes, encodeDataBytes(content.cid, dataBytes));
  for (const [tag, bytes] of unknown) if (tag < TAG.birth) writeUnknown(writer, tag, bytes);
  writer.int(TAG.birth, record.birthNs ?? 0n);
  for (const [tag, bytes] of unknown) if (tag > TAG.birth && tag < LINK_BIT) writeUnknown(writer, tag, bytes);
  if (isLinked(xattrs)) writer.link(TAG.linkedXattrs, xattrs.linked);
  if (content.kind === "chunk") writer.link(TAG.contentChunk, content.cid);
  if (isLinked(target)) writer.link(TAG.linkedTarget, target.linked);
  if (content.kind === "list") writer.link(TAG.contentList, content.cid);
  for (const [tag, bytes] of unknown) if (tag >= LINK_BIT) writeUnknown(writer, tag, bytes);
}

function writeUnknown(writer: FieldWriter, tag: number, bytes: Uint8Array): void {
  if (!mayBeUnknown(tag)) throw invalidRow("has an unsupported field");
  if (tag < LINK_BIT) writer.bytes(tag, bytes);
  else writer.bytes(tag, bytes.subarray(CID_BYTES), cidFromBytes(bytes.subarray(0, CID_BYTES)));
}

function conflictBytes(conflict: ConflictOrigin): Uint8Array {
  const bytes = Buffer.alloc(CONFLICT_BYTES);
  bytes.write(conflict.of + conflict.writer, "hex");
  bytes.writeBigUInt64BE(BigInt(conflict.epoch), 2 * ID_BYTES);
  return bytes;
}
