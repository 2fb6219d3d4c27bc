/** Records in the overlay's own encoding: complete, with long values inline, whatever the bucket's rows may hold. */
import type { Cid, Lamport, WriterId } from "../../base/ids.ts";
import type { SentCommit } from "../../fstree/change-set.ts";
import { cidFromBytes, cidToBytes } from "../../format/blocks/cid.ts";
import { minimalInt, readInt } from "../../format/files/fields.ts";
import { TAG } from "../../format/files/record-tags.ts";
import { TYPE_CODES } from "../../format/files/keys.ts";
import { isLinked } from "../../format/blocks/linked-value.ts";
import { NO_XATTRS } from "../../format/files/record.ts";
import { NOTHING_UNKNOWN } from "../../format/files/record.ts";
import type { ConflictOrigin, Content, FileRecord, FileType, Linked, Xattrs } from "../../format/files/record.ts";
import { type ByteReader, type ByteWriter, corruptState } from "../data/bytes.ts";
import type { BaseName } from "../dirty-object.ts";
import type { Link } from "../links.ts";

const CONTENT_CODES = { empty: 0, inline: 1, chunk: 2, list: 3, listWithHoles: 4 } as const;
const TYPES = new Map(Object.entries(TYPE_CODES).map(([type, code]) => [code, type as FileType]));

export function writeType(writer: ByteWriter, type: FileType): void {
  writer.u8(TYPE_CODES[type]);
}

export function readType(reader: ByteReader): FileType {
  const type = TYPES.get(reader.u8());
  if (type === undefined) throw corruptState("An object in the overlay has an unknown type.");
  return type;
}

export function writeRecord(writer: ByteWriter, record: FileRecord): void {
  writeType(writer, record.type);
  writer.u16(record.mode);
  writer.u32(record.uid);
  writer.u32(record.gid);
  writer.int(record.size);
  writer.ns(record.mtimeNs);
  writer.ns(record.ctimeNs);
  writer.int(record.rdev);
  writeXattrs(writer, record.xattrs);
  writeContent(writer, record.content);
  writeTarget(writer, record.target);
  writeConflict(writer, record.conflict);
  const { birthNs = 0n } = record;
  writer.u16(record.unknown.size + (birthNs === 0n ? 0 : 1));
  // Stored as an unknown field, which older versions keep.
  if (birthNs !== 0n) {
    writer.int(TAG.birth);
    writer.blob(minimalInt(birthNs));
  }
  for (const [tag, bytes] of record.unknown) {
    writer.int(tag);
    writer.blob(bytes);
  }
}

export function readRecord(reader: ByteReader): FileRecord {
  const record = {
    type: readType(reader),
    mode: reader.u16(),
    uid: reader.u32(),
    gid: reader.u32(),
    size: reader.int(),
    mtimeNs: reader.ns(),
    ctimeNs: reader.ns(),
    rdev: reader.int(),
    xattrs: readXattrs(reader),
    content: readContent(reader),
    target: readTarget(reader),
    conflict: readConflict(reader),
    birthNs: undefined,
    unknown: NOTHING_UNKNOWN,
  };
  readUnknown(reader, record);
  return record;
}

export function writeXattrs(writer: ByteWriter, xattrs: Xattrs | Linked): void {
  writer.u8(isLinked(xattrs) ? 1 : 0);
  if (isLinked(xattrs)) {
    writeCid(writer, xattrs.linked);
    return;
  }
  writer.u32(xattrs.size);
  for (const [name, value] of xattrs) {
    writer.text(name);
    writer.blob(value);
  }
}

export function readXattrs(reader: ByteReader): Xattrs | Linked {
  if (reader.u8() === 1) return { linked: readCid(reader) };
  const xattrs = reader.list(() => [reader.text(), reader.blob()] as const);
  return xattrs.length === 0 ? NO_XATTRS : new Map(xattrs);
}

export function writeContent(writer: ByteWriter, content: Content): void {
  const dataBytes = content.kind === "list" ? content.dataBytes : undefined;
  writer.u8(dataBytes === undefined ? CONTENT_CODES[content.kind] : CONTENT_CODES.listWithHoles);
  if (dataBytes !== undefined) writer.int(dataBytes);
  if (content.kind === "inline") writer.blob(content.bytes);
  else if (content.kind !== "empty") writeCid(writer, content.cid);
}

export function readContent(reader: ByteReader): Content {
  const code = reader.u8();
  if (code === CONTENT_CODES.empty) return EMPTY;
  if (code === CONTENT_CODES.inline) return { kind: "inline", bytes: reader.blob() };
  if (code === CONTENT_CODES.chunk) return { kind: "chunk", cid: readCid(reader) };
  if (code === CONTENT_CODES.list) return { kind: "list", cid: readCid(reader) };
  if (code === CONTENT_CODES.listWithHoles) {
    const dataBytes = reader.int();
    return { kind: "list", cid: readCid(reader), dataBytes };
  }
  throw corruptState("A file content in the overlay has an unknown kind.");
}

export function writeTarget(writer: ByteWriter, target: string | Linked): void {
  writer.u8(isLinked(target) ? 1 : 0);
  if (isLinked(target)) writeCid(writer, target.linked);
  else writer.text(target);
}

export function readTarget(reader: ByteReader): string | Linked {
  return reader.u8() === 1 ? { linked: readCid(reader) } : reader.text();
}

export function writeCid(writer: ByteWriter, cid: Cid): void {
  writer.blob(cidToBytes(cid));
}

export function readCid(reader: ByteReader): Cid {
  try {
    return cidFromBytes(reader.blob());
  } catch (cause) {
    throw corruptState("A CID in the overlay is malformed.", cause);
  }
}

export function writeSent(writer: ByteWriter, { commit, seq }: SentCommit): void {
  writeCid(writer, commit);
  writer.int(seq);
}

export function readSent(reader: ByteReader): SentCommit {
  return { commit: readCid(reader), seq: reader.int() as Lamport };
}

export function writeBaseNames(writer: ByteWriter, names: readonly BaseName[]): void {
  writer.u32(names.length);
  for (const { parent, name } of names) {
    writer.id(parent);
    writer.text(name);
  }
}

export function readBaseNames(reader: ByteReader): readonly BaseName[] {
  const names = reader.list(() => ({ parent: reader.id(), name: reader.name() }));
  return names.length === 0 ? NO_NAMES : names;
}

export function writeLinks(writer: ByteWriter, links: readonly Link[]): void {
  writer.u32(links.length);
  for (const { parent, name } of links) {
    writer.int(parent);
    writer.text(name);
  }
}

export function readLinks(reader: ByteReader): Link[] {
  return reader.list(() => ({ parent: reader.ino(), name: reader.name() }));
}

/** Most objects of a large epoch are new: they share one value for absent content. */
const EMPTY: Content = { kind: "empty" };
const NO_NAMES: readonly BaseName[] = [];

export function writeConflict(writer: ByteWriter, conflict: ConflictOrigin | undefined): void {
  writer.u8(conflict === undefined ? 0 : 1);
  if (conflict === undefined) return;
  writer.id(conflict.of);
  writer.text(conflict.writer);
  writer.int(conflict.epoch);
}

export function readConflict(reader: ByteReader): ConflictOrigin | undefined {
  if (reader.u8() === 0) return undefined;
  return { of: reader.id(), writer: reader.text() as WriterId, epoch: reader.int() };
}

function birthOf(bytes: Uint8Array): bigint {
  try {
    return readInt(bytes, 0, bytes.length);
  } catch (cause) {
    throw corruptState("A birth time in the overlay is malformed.", cause);
  }
}

/** The birth time is stored among the unknown fields. */
function readUnknown(
  reader: ByteReader,
  record: { birthNs: bigint | undefined; unknown: FileRecord["unknown"] },
): void {
  let unknown: Map<number, Uint8Array> | undefined;
  for (let left = reader.u16(); left > 0; left--) {
    const tag = reader.int();
    if (tag === TAG.birth) record.birthNs = birthOf(reader.view());
    else (unknown ??= new Map()).set(tag, reader.blob());
  }
  if (unknown !== undefined) record.unknown = unknown;
}
