/** The lines of the redo log, which redo-log.ts writes and redo.ts reads. */
import type { FileId } from "../../base/ids.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { SyncDisk } from "../disk/disk.ts";
import { NEW_PATH, newPath } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import { entryOf, nameOf, type Entry, type EntryRow, type PlaceRow } from "../known/entry.ts";

export const REDO_PATH = newPath("redo");
export const DONE = ".";
export const TAKEN_BACK = "x";
/** Actions that get a mark when they are done. */
export const ANNOUNCED: ReadonlySet<string> = new Set(["placing", "exchanging", "moving"]);

export interface Places {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
}

export interface Line {
  readonly kind: "put" | "park" | "remove" | "move" | "moving" | "placing" | "exchanging" | "marks";
  readonly entries: readonly Entry[];
  readonly places: readonly Place[];
  /** The number of marks. */
  readonly count: number;
}

/** Undefined if a process died while writing it, or another program wrote it. */
export function parsed(text: string): Line | undefined {
  const none = { entries: [], places: [], count: 0 };
  if (MARKS.test(text)) return { ...none, kind: "marks", count: text.endsWith(TAKEN_BACK) ? 0 : text.length };
  try {
    const [kind, ...rows] = JSON.parse(text) as [Line["kind"], ...string[][]];
    if (rows.flat().some((each) => typeof each !== "string")) return undefined;
    const [from, to] = rows;
    if (kind === "move" || kind === "moving")
      return from && to && { ...none, kind, places: [placeOfTexts(from)], entries: [entryOfTexts(to)] };
    if (kind === "remove") return { ...none, kind, places: rows.map(placeOfTexts) };
    return KINDS.has(kind) ? { ...none, kind, entries: rows.map(entryOfTexts) } : undefined;
  } catch {
    return undefined;
  }
}

export function textsOf(row: EntryRow | PlaceRow): string[] {
  const place = [row.parent, row.name.toString("latin1")];
  if (!("record" in row)) return place;
  return [...place, row.id, row.record.toString("base64"), row.links, row.seen.toString("base64")];
}

function placeOfTexts([parent, name]: readonly string[]): Place {
  if (parent === undefined || name === undefined) throw new TypeError("The redo log has an invalid place.");
  return { parent: parent as FileId, name: nameOf(Buffer.from(name, "latin1")) };
}

export function entryOfTexts(texts: readonly string[]): Entry {
  const [parent, name, id, record, links, seen] = texts;
  if (parent === undefined || name === undefined || id === undefined)
    throw new TypeError("The redo log has an invalid entry.");
  if (record === undefined || links === undefined || seen === undefined)
    throw new TypeError("The redo log has an invalid entry.");
  const row = { parent, id, links, name: Buffer.from(name, "latin1"), record: Buffer.from(record, "base64") };
  return entryOf({ ...row, seen: Buffer.from(seen, "base64") });
}

/** Identifies this boot, folder and base. Undefined: the log could not be trusted. */
export async function headerOf({ db, disk }: Places): Promise<string | undefined> {
  const { boot } = disk;
  const there = boot === undefined ? undefined : await disk.look(NEW_PATH);
  if (there === undefined) return undefined;
  const { dev, ino } = there;
  const [folder, base] = [db.fact("folder"), db.base()?.commit];
  return JSON.stringify({ version: VERSION, boot, dev: `${dev}`, ino: `${ino}`, folder, base });
}

/** The version of the lines; others are not trusted. */
const VERSION = 1;
const MARKS = /^\.+x?$/;
const KINDS: ReadonlySet<string> = new Set(["put", "park", "placing", "exchanging"]);
