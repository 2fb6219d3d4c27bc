/**
 * The rows of one object in a tree (docs/reference/formats.md, Ids and keys): their keys and values. The only place that
 * knows when a file has a self-record, a stated id and back-references.
 */
import type { FileId, FileName } from "../base/ids.ts";
import type { EncodedValue } from "../format/files/fields.ts";
import { backrefKey, birthId, dentryKey, selfKey } from "../format/files/keys.ts";
import type { LinkBlock } from "../format/blocks/linked-value.ts";
import type { FileRecord, FileType } from "../format/files/record.ts";
import { encodeBackref, encodeDentry, encodeSelf } from "../format/files/rows.ts";

/** A name in a directory. */
export interface Place {
  readonly parent: FileId;
  readonly name: FileName;
}

/** An object and its names: at least one, apart from the root directory, which has none. */
export interface PlacedObject {
  readonly id: FileId;
  readonly type: FileType;
  readonly names: readonly Place[];
}

/** The key of one row, and which of the object's rows it is. */
export interface RowKey {
  readonly key: Uint8Array;
  /** "record": the row that holds the record; "reference": a dentry {type, id}; "backref": a 02 row. */
  readonly part: "record" | "reference" | "backref";
  /** The id that a file's only dentry states, if not its birth id there. Costly, so computed once. */
  readonly stated?: FileId | undefined;
}

/** The keys of all rows of an object, in no order. */
export function rowKeysOf(object: PlacedObject): RowKey[] {
  const { id, type, names } = object;
  const [only] = names;
  if (type !== "directory" && only !== undefined && names.length === 1) {
    const key = dentryKey(only.parent, only.name);
    if (isBornAt(id, type, only)) return [{ key, part: "record" }];
    return [{ key, part: "record", stated: id }, backrefRow(id, only)];
  }
  const rows: RowKey[] = [{ key: selfKey(id), part: "record" }];
  for (const place of names) {
    rows.push({ key: dentryKey(place.parent, place.name), part: "reference" });
    if (type !== "directory") rows.push(backrefRow(id, place));
  }
  return rows;
}

/**
 * The value of one of the rows that `rowKeysOf` returned. `subdirs` is used for directories only. `link` stores the blocks
 * of long values. Throws `limit_exceeded` when a record is too long for a row.
 */
export function encodeObjectRow(
  object: PlacedObject,
  { part, stated }: Omit<RowKey, "key">,
  record: FileRecord,
  subdirs: number,
  link: LinkBlock,
): EncodedValue {
  const { id, type, names } = object;
  if (part === "backref") return encodeBackref();
  if (part === "reference") return encodeDentry({ kind: "reference", type, id }, link);
  const [place] = names;
  if (type === "directory") return encodeSelf({ kind: "directory", record, place, subdirs }, link);
  if (names.length > 1 || place === undefined) return encodeSelf({ kind: "file", record }, link);
  return encodeDentry({ kind: "record", stated, record }, link);
}

/** A directory's count of subdirectories after a change. A faulty writer's row may state any other number than there are. */
export function subdirsAfter(subdirs: number, change: number): number {
  return Math.min(Math.max(0, subdirs + change), Number.MAX_SAFE_INTEGER);
}

export function samePlace(a: Place, b: Place): boolean {
  return a.parent === b.parent && a.name === b.name;
}

/** A place as a map key. */
export function placeText(place: Place): string {
  return place.parent + place.name;
}

function isBornAt(id: FileId, type: FileType, place: Place): boolean {
  return id === birthId(place.parent, place.name, type, 0);
}

function backrefRow(id: FileId, place: Place): RowKey {
  return { key: backrefKey(id, place.parent, place.name), part: "backref" };
}
