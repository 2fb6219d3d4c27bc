/** Reads the fields of one row: the decoding half of record-codec.ts. */
import { keepShape } from "../../base/shapes.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId, FileName, WriterId } from "../../base/ids.ts";
import { MAX_INLINE_XATTR_BYTES } from "../../base/limits.ts";
import { checkName } from "../../base/names.ts";
import { cidToBytes, codecOf } from "../blocks/cid.ts";
import { decodeDataBytes } from "./data-bytes.ts";
import { readInt, readUint } from "./fields.ts";
import { TYPE_CODES } from "./keys.ts";
import { decodeTarget, decodeXattrs } from "../blocks/linked-value.ts";
import { NO_XATTRS } from "./record.ts";
import { NOTHING_UNKNOWN } from "./record.ts";
import type { ConflictOrigin, Content, FileRecord, FileType, Linked, Xattrs } from "./record.ts";
import {
  checkRecord,
  CONFLICT_BYTES,
  FORM_RECORD,
  FORM_REFERENCE,
  ID_BYTES,
  invalidRow,
  LINK_CODECS,
  mayBeUnknown,
  TAG,
} from "./record-tags.ts";

/** A row's fields besides the record: rows.ts defines which row has which. */
export interface RowFields {
  readonly id: FileId | undefined;
  readonly parent: FileId | undefined;
  readonly name: FileName | undefined;
  readonly subdirs: number;
}

export const NO_ROW_FIELDS: RowFields = { id: undefined, parent: undefined, name: undefined, subdirs: 0 };

export interface DecodedRow {
  readonly type: FileType;
  readonly row: RowFields;
  /** Undefined if the row only references an object. */
  readonly record: FileRecord | undefined;
}

const EMPTY: Content = { kind: "empty" };
const TYPES = new Map(Object.entries(TYPE_CODES).map(([type, code]) => [code, type as FileType]));

/** Collects the fields of one row. */
export class RowReader {
  #type: FileType | undefined;
  #id: FileId | undefined;
  #parent: FileId | undefined;
  #name: FileName | undefined;
  #subdirs = 0;
  #mode = 0;
  #uid = 0;
  #gid = 0;
  #size = 0;
  #mtimeNs = 0n;
  #ctimeNs = 0n;
  #birthNs: bigint | undefined;
  #rdev = 0;
  #xattrs: Xattrs | Linked | undefined;
  #content: Content | undefined;
  #target: string | Linked | undefined;
  #conflict: ConflictOrigin | undefined;
  #unknown: Map<number, Uint8Array> | undefined;
  #recordFields = 0;

  read(tag: number, value: Uint8Array, from: number, to: number): void {
    if (tag >= TAG.mode) this.#recordFields++;
    switch (tag) {
      case TAG.type:
        this.#type = TYPES.get(readUint(value, from, to));
        return;
      case TAG.id:
        this.#id = readId(value, from, to);
        return;
      case TAG.parent:
        this.#parent = readId(value, from, to);
        return;
      case TAG.name:
        this.#name = readName(value, from, to);
        return;
      case TAG.subdirs:
        this.#subdirs = readUint(value, from, to);
        return;
      case TAG.mode:
        this.#mode = readUint(value, from, to);
        return;
      case TAG.uid:
        this.#uid = readUint(value, from, to);
        return;
      case TAG.gid:
        this.#gid = readUint(value, from, to);
        return;
      case TAG.size:
        this.#size = readUint(value, from, to);
        return;
      case TAG.mtime:
        this.#mtimeNs = readInt(value, from, to);
        return;
      case TAG.ctime:
        this.#ctimeNs = readInt(value, from, to);
        return;
      case TAG.rdev:
        this.#rdev = readUint(value, from, to);
        return;
      case TAG.xattrs:
        this.#xattrs = readXattrs(value.subarray(from, to));
        return;
      case TAG.content:
        this.#content = { kind: "inline", bytes: value.subarray(from, to) };
        return;
      case TAG.target:
        this.#target = decodeTarget(value.subarray(from, to));
        return;
      case TAG.conflict:
        this.#conflict = readConflict(value, from, to);
        return;
      case TAG.birth:
        this.#birthNs = readInt(value, from, to);
        return;
    }
    this.#keep(tag, new Uint8Array(value.subarray(from, to)));
  }

  readLinked(tag: number, value: Uint8Array, from: number, to: number, cid: Cid): void {
    this.#recordFields++;
    if (mayBeUnknown(tag)) {
      this.#keep(tag, new Uint8Array(Buffer.concat([cidToBytes(cid), value.subarray(from, to)])));
      return;
    }
    if (from !== to || codecOf(cid) !== LINK_CODECS[tag]) throw invalidRow("links to a block of the wrong kind");
    if (tag === TAG.linkedXattrs) this.#xattrs = once(this.#xattrs, { linked: cid });
    else if (tag === TAG.linkedTarget) this.#target = once(this.#target, { linked: cid });
    else if (tag === TAG.contentChunk) this.#content = once(this.#content, { kind: "chunk", cid });
    else this.#content = once(this.#content, { kind: "list", cid });
  }

  finish(form: number): DecodedRow {
    const type = this.#type;
    if (type === undefined) throw invalidRow("has no known type");
    const row = { id: this.#id, parent: this.#parent, name: this.#name, subdirs: this.#subdirs };
    if (form === FORM_REFERENCE) {
      const more = row.parent !== undefined || row.name !== undefined || row.subdirs !== 0 || this.#recordFields !== 0;
      if (row.id === undefined || more) throw invalidRow("is a reference that lacks its id or has other fields");
      return { type, row, record: undefined };
    }
    if (form !== FORM_RECORD) throw invalidRow("has an unknown form");
    const record: FileRecord = {
      type,
      mode: this.#mode,
      uid: this.#uid,
      gid: this.#gid,
      size: this.#size,
      mtimeNs: this.#mtimeNs,
      ctimeNs: this.#ctimeNs,
      birthNs: this.#birthNs,
      rdev: this.#rdev,
      xattrs: this.#xattrs ?? NO_XATTRS,
      content: this.#contentWithHoles() ?? EMPTY,
      target: this.#target ?? "",
      conflict: this.#conflict,
      unknown: this.#unknown ?? NOTHING_UNKNOWN,
    };
    checkRecord(record);
    return { type, row, record };
  }

  /** The content, with the field about its holes if that matches this content: the field is then no longer unknown. */
  #contentWithHoles(): Content | undefined {
    const content = this.#content;
    const payload = this.#unknown?.get(TAG.dataBytes);
    if (content?.kind !== "list" || payload === undefined) return content;
    const dataBytes = decodeDataBytes(payload, content.cid, this.#size);
    if (dataBytes === undefined) return content;
    this.#unknown?.delete(TAG.dataBytes);
    if (this.#unknown?.size === 0) this.#unknown = undefined;
    return { ...content, dataBytes };
  }

  #keep(tag: number, bytes: Uint8Array): void {
    if (!mayBeUnknown(tag)) throw invalidRow("has an unsupported field");
    this.#unknown ??= new Map();
    this.#unknown.set(tag, bytes);
  }
}

keepShape(new RowReader());

function readId(value: Uint8Array, from: number, to: number): FileId {
  if (to - from !== ID_BYTES) throw invalidRow("has an id that is not 16 bytes long");
  return viewOf(value).toString("hex", from, to) as FileId;
}

function readName(value: Uint8Array, from: number, to: number): FileName {
  try {
    return checkName(viewOf(value).toString("latin1", from, to));
  } catch (cause) {
    throw new SynclineError("format_invalid", "A row has an invalid file name.", { cause });
  }
}

function readXattrs(payload: Uint8Array): Xattrs {
  if (payload.length === 0 || payload.length > MAX_INLINE_XATTR_BYTES)
    throw invalidRow("has extended attributes of the wrong length");
  return decodeXattrs(payload);
}

function readConflict(value: Uint8Array, from: number, to: number): ConflictOrigin {
  if (to - from !== CONFLICT_BYTES) throw invalidRow("has a conflict origin of the wrong length");
  const view = viewOf(value);
  const epoch = view.readBigUInt64BE(from + 2 * ID_BYTES);
  if (epoch > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidRow("has an epoch that is too large");
  return {
    of: view.toString("hex", from, from + ID_BYTES) as FileId,
    writer: view.toString("hex", from + ID_BYTES, from + 2 * ID_BYTES) as WriterId,
    epoch: Number(epoch),
  };
}

function viewOf(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function once<Value>(before: unknown, value: Value): Value {
  if (before !== undefined) throw invalidRow("has two values for one field");
  return value;
}
