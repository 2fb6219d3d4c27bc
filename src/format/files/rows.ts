/**
 * Values of the tree's rows (docs/reference/formats.md, Ids and keys): dentries, self-records and back-references around one record codec.
 *
 * A dentry of a file with one name holds its whole record. A file has a 02 back-reference row exactly when it has several
 * names or its dentry states its id.
 */
import { SynclineError } from "../../base/errors.ts";
import { type FileId, type FileName, ROOT_ID } from "../../base/ids.ts";
import type { EncodedValue } from "./fields.ts";
import { birthId } from "./keys.ts";
import type { LinkBlock } from "../blocks/linked-value.ts";
import type { FileRecord, FileType } from "./record.ts";
import { decodeRow, encodeRecord, encodeReference } from "./record-codec.ts";
import { NO_ROW_FIELDS } from "./record-reader.ts";

/**
 * What a name refers to. `stated` is the id of a single-link file if it is not its place's birth id; use `dentryId`, since
 * computing birth ids for a whole listing costs more than decoding it.
 */
export type Dentry =
  | { readonly kind: "record"; readonly stated: FileId | undefined; readonly record: FileRecord }
  | { readonly kind: "reference"; readonly type: FileType; readonly id: FileId };

/** A 00 row. `place` is undefined for the root directory only. */
export type SelfRow =
  | { readonly kind: "file"; readonly record: FileRecord }
  | {
      readonly kind: "directory";
      readonly record: FileRecord;
      readonly place: { readonly parent: FileId; readonly name: FileName } | undefined;
      readonly subdirs: number;
    };

/** The id of the dentry's object. */
export function dentryId(parent: FileId, name: FileName, dentry: Dentry): FileId {
  if (dentry.kind === "reference") return dentry.id;
  return dentry.stated ?? birthId(parent, name, dentry.record.type, 0);
}

export function dentryType(dentry: Dentry): FileType {
  return dentry.kind === "reference" ? dentry.type : dentry.record.type;
}

/** `link` stores the blocks of long values. Throws `limit_exceeded` if the row would be too long. */
export function encodeDentry(dentry: Dentry, link: LinkBlock): EncodedValue {
  if (dentry.kind === "reference") return encodeReference(dentry.type, dentry.id);
  return encodeRecord(dentry.record, link, { ...NO_ROW_FIELDS, id: dentry.stated });
}

/** Decodes the value of `dentryKey(parent, name)`. Throws `format_invalid`. */
export function decodeDentry(parent: FileId, name: FileName, encoded: EncodedValue): Dentry {
  const { type, row, record } = decodeRow(encoded);
  if (row.parent !== undefined || row.name !== undefined || row.subdirs !== 0) throw invalid("dentry");
  if (record === undefined) {
    if (row.id === undefined || row.id === ROOT_ID) throw invalid("dentry");
    return { kind: "reference", type, id: row.id };
  }
  if (type === "directory") throw invalid("dentry");
  if (row.id !== undefined && (row.id === ROOT_ID || row.id === birthId(parent, name, type, 0)))
    throw invalid("dentry");
  return { kind: "record", stated: row.id, record };
}

export function encodeSelf(self: SelfRow, link: LinkBlock): EncodedValue {
  if (self.kind === "file") return encodeRecord(self.record, link);
  const { parent, name } = self.place ?? { parent: undefined, name: undefined };
  return encodeRecord(self.record, link, { id: undefined, parent, name, subdirs: self.subdirs });
}

/** Decodes the value of `selfKey(id)`. Throws `format_invalid`. */
export function decodeSelf(id: FileId, encoded: EncodedValue): SelfRow {
  const { type, row, record } = decodeRow(encoded);
  if (record === undefined || row.id !== undefined) throw invalid("self-record");
  const { parent, name, subdirs } = row;
  if (type !== "directory") {
    if (parent !== undefined || name !== undefined || subdirs !== 0 || id === ROOT_ID) throw invalid("self-record");
    return { kind: "file", record };
  }
  if (id === ROOT_ID) {
    if (parent !== undefined || name !== undefined) throw invalid("self-record");
    return { kind: "directory", record, place: undefined, subdirs };
  }
  if (parent === undefined || name === undefined || parent === id) throw invalid("self-record");
  return { kind: "directory", record, place: { parent, name }, subdirs };
}

/** A back-reference's key holds everything. */
export function encodeBackref(): EncodedValue {
  return { value: new Uint8Array(), links: [] };
}

/** Throws `format_invalid` unless the value of a back-reference is empty. */
export function checkBackref(encoded: EncodedValue): void {
  if (encoded.value.length !== 0 || encoded.links.length !== 0) throw invalid("back-reference");
}

function invalid(row: string): SynclineError {
  return new SynclineError("format_invalid", `The value of a ${row} is invalid.`);
}
