/** A name that the folder shows, as the database has it, and its row there. */
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { nodeAddress } from "../../blocks/block-codec.ts";
import { sameVersion } from "../../fstree/merge/objects.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { cidFromBytes, cidToBytes } from "../../format/blocks/cid.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { decodeRecord, encodeRecord } from "../../format/files/record-codec.ts";
import { damagedState } from "./damaged.ts";
import { encodeSeen, decodeSeen, type Seen } from "./seen.ts";

export interface Entry extends Place {
  readonly id: FileId;
  /** As the bucket had it when the folder came to show it: the base of later changes here. */
  readonly record: FileRecord;
  readonly seen: Seen;
}

export interface PlaceRow {
  readonly parent: string;
  readonly name: Buffer;
}

/** Numbers and names as SQLite stores them; a record is its value and the blocks that it links to. */
export interface EntryRow extends PlaceRow {
  readonly id: string;
  readonly record: Buffer;
  readonly links: string;
  readonly seen: Buffer;
}

/** A change of a name in the database. `park`: it goes out of sight. */
export type EntryChange =
  | { readonly kind: "put" | "park"; readonly row: EntryRow }
  | { readonly kind: "move"; readonly row: EntryRow; readonly from: PlaceRow }
  | { readonly kind: "remove"; readonly row: PlaceRow };

export function rowOf({ parent, name, id, record, seen }: Entry): EntryRow {
  const { value, links } = encodeRecord(record, nodeAddress);
  return {
    parent,
    name: nameBytes(name),
    id,
    record: Buffer.from(value),
    links: links.join(" "),
    seen: encodeSeen(seen),
  };
}

/** Throws `state_corrupt` for a damaged row. */
export function entryOf({ parent, name, id, record, links, seen }: EntryRow): Entry {
  try {
    return {
      parent: parent as FileId,
      name: nameOf(name),
      id: id as FileId,
      record: decodeRecord({ value: record, links: links === "" ? [] : links.split(" ").map(checkedCid) }),
      seen: decodeSeen(seen),
    };
  } catch (cause) {
    throw damagedState(cause);
  }
}

/** As `parseCid`, but much faster: a folder may have a million of them. */
function checkedCid(text: string): Cid {
  return cidFromBytes(cidToBytes(text as Cid));
}

export function nameBytes(name: FileName): Buffer {
  return Buffer.from(name, "latin1");
}

export function nameOf(bytes: Buffer): FileName {
  return bytes.toString("latin1") as FileName;
}

/** The object's name in the folder that has these bytes, or else any of its names. */
export function sourceOf(known: Iterable<Entry>, record: FileRecord): Entry | undefined {
  let any: Entry | undefined;
  for (const entry of known) {
    if (sameVersion(entry.record, record)) return entry;
    any ??= entry;
  }
  return any;
}

/** Whether it is another name of the same file, with the same bytes. */
export function isTwin(entry: Entry, { parent, name, record }: Entry): boolean {
  const isOther = entry.parent !== parent || entry.name !== name;
  return isOther && record.type !== "directory" && sameVersion(entry.record, record);
}
