/**
 * What a batch did to the folder, in a file of the folder's own until the database knows it: a process that is killed between the two leaves
 * it to the next one. Without it what somebody deleted or replaced in between would look as if it had never been put there, and come back.
 *
 * Nothing waits until it is on the disk, so it is believed only while the system runs that it was written on: then each deed that
 * has its mark was done. A deed is announced, done and marked, and what the database is told follows; lines are JSON, marks are lines of dots.
 */
import type { FileId } from "../base/ids.ts";
import type { Place } from "../bucket/object-rows.ts";
import { failedWith } from "../objects/disk.ts";
import type { SyncDatabase } from "./database.ts";
import type { AppendFile, DiskPath, SyncDisk } from "./disk.ts";
import { makeNamesDurable } from "./durable.ts";
import {
  entryOf,
  nameBytes,
  nameOf,
  rowOf,
  type Entry,
  type EntryChange,
  type EntryRow,
  type PlaceRow,
} from "./entry.ts";
import { NEW_PATH, newPath } from "./paths.ts";
import { pathInFolder } from "./plan.ts";
import { isSameInode } from "./seen.ts";

interface Places {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
}

export class RedoLog {
  readonly #db: SyncDatabase;
  readonly #disk: SyncDisk;
  readonly #header: string;
  #file: AppendFile | undefined;
  #isMarking = false;
  #isQuiet = false;

  private constructor({ db, disk }: Places, header: string, file: AppendFile | undefined) {
    this.#db = db;
    this.#disk = disk;
    this.#header = header;
    this.#file = file;
  }

  /** One that writes nothing where the disk has no such files, or cannot tell when the system started. */
  static async open(places: Places): Promise<RedoLog> {
    const header = await headerOf(places);
    return new RedoLog(places, header ?? "", header === undefined ? undefined : openedIn(places));
  }

  /** As the database's: what is done and not noted when the process dies is here. */
  async transaction(work: () => Promise<void>): Promise<void> {
    this.#line(this.#header);
    await this.#db.transaction(work, (change) => this.#tell(change));
    this.#isMarking = false;
    this.#try((file) => file.clear());
  }

  /** Announces renames to free places, in turn. Each is to be marked when it is done: what the next run is to know is this. */
  placing(entries: readonly Entry[]): AppendFile | undefined {
    this.#line(JSON.stringify(["placing", ...entries.map((entry) => textsOf(rowOf(entry)))]));
    this.#isMarking = this.#file !== undefined;
    return this.#file;
  }

  /** Announces that it is to be exchanged with what has its place. */
  exchanging(entry: Entry): void {
    this.#line(JSON.stringify(["exchanging", textsOf(rowOf(entry))]));
    this.#isMarking = this.#file !== undefined;
  }

  /** Announces that something known gets another place. */
  moving(from: Place, to: Entry): void {
    const rows = [{ parent: from.parent, name: nameBytes(from.name) }, rowOf(to)];
    this.#line(JSON.stringify(["moving", ...rows.map(textsOf)]));
  }

  mark(): void {
    this.#try((file) => file.append(DONE));
  }

  /** To be said before it is undone. */
  takeBack(): void {
    this.#try((file) => file.append(TAKEN_BACK));
  }

  /** What the marks say need not be told again. */
  quietly(work: () => void): void {
    this.#isQuiet = true;
    try {
      work();
    } finally {
      this.#isQuiet = false;
    }
  }

  /** `isDone`: the database knows it all. */
  async close(isDone: boolean): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    file?.close();
    if (file === undefined || !isDone) return;
    try {
      await this.#disk.unlink(REDO_PATH);
    } catch (error) {
      // Somebody cleared it away, or it has to stay: it is empty by now, and the round is done.
      if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "EACCES", "EPERM", "EROFS")) throw error;
    }
  }

  #tell(change: EntryChange): void {
    if (this.#file === undefined || this.#isQuiet) return;
    const rows = change.kind === "move" ? [change.from, change.row] : [change.row];
    this.#line(JSON.stringify([change.kind, ...rows.map(textsOf)]));
  }

  #line(text: string): void {
    const end = this.#isMarking ? "\n" : "";
    this.#isMarking = false;
    this.#try((file) => file.append(`${end}${text}\n`));
  }

  /** A full disk is no reason to stop: then there is no log, and nothing of one, for it would not tell what comes behind. */
  #try(work: (file: AppendFile) => void): void {
    const file = this.#file;
    if (file === undefined) return;
    try {
      work(file);
    } catch {
      this.#file = undefined;
      try {
        file.clear();
      } finally {
        file.close();
      }
    }
  }
}

/**
 * Tells the database what a run did that was killed, once that is durable. Before anything else looks at the folder. What took the place of
 * something that lies where the exchange put it is to be noted when that was looked at: see `noteExchanged`.
 */
export async function redo(places: Places): Promise<void> {
  const { db, disk } = places;
  const [header, ...lines] = (await textOf(disk)).split("\n");
  if (header === undefined || header !== (await headerOf(places))) return;
  let exchanged: Entry | undefined;
  const touched: Place[] = [];
  await db.transaction(async () => {
    let announced: Line | undefined;
    for (const text of lines) {
      // The marks of what was announced and could not be done.
      if (text === "") continue;
      const line = parsed(text);
      if (line === undefined) break;
      touched.push(...line.places, ...line.entries);
      exchanged = undefined;
      if (line.kind === "marks") {
        const done = announced?.entries.slice(0, line.count) ?? [];
        if (announced?.kind === "exchanging") [exchanged] = done;
        else for (const entry of done) db.put(entry);
      } else if (line.kind === "park") for (const entry of line.entries) db.park(entry);
      else if (!ANNOUNCED.has(line.kind)) {
        for (const place of line.places) db.remove(place);
        for (const entry of line.entries) db.put(entry);
      }
      announced = line;
    }
    if (announced?.kind === "moving" && (await hasMoved(places, announced))) {
      for (const place of announced.places) db.remove(place);
      for (const entry of announced.entries) db.put(entry);
    }
    if (exchanged !== undefined)
      db.setFact("exchanged", JSON.stringify([db.base()?.commit, textsOf(rowOf(exchanged))]));
    await makeNamesDurable(disk, [NEW_PATH, ...touched.flatMap((place) => directoryOf(db, place))]);
  });
  await disk.unlink(REDO_PATH);
}

/** Notes what took the place of something that was looked at by now. */
export async function noteExchanged(db: SyncDatabase): Promise<void> {
  const text = db.fact("exchanged");
  if (text === undefined) return;
  const [base, row] = JSON.parse(text) as [string | null, string[]];
  await db.transaction(() => {
    // An earlier version may have gone on from here.
    if (base === db.base()?.commit) db.put(entryOfTexts(row));
    db.setFact("exchanged", undefined);
  });
}

/** The process died right before or behind the rename: the inode tells. */
async function hasMoved({ db, disk }: Places, { places, entries }: Line): Promise<boolean> {
  const [[from], [to]] = [places, entries];
  const [before, after] = [from && pathInFolder(db, from), to && pathInFolder(db, to)];
  if (to === undefined || before === undefined || after === undefined) return false;
  const [left, there] = [await disk.look(before), await disk.look(after)];
  return left?.ino !== to.seen.ino && there?.type === to.record.type && isSameInode(to.seen, there);
}

function directoryOf(db: SyncDatabase, place: Place): DiskPath[] {
  const path = pathInFolder(db, place);
  return path === undefined ? [] : [path.slice(0, -1)];
}

interface Line {
  readonly kind: "put" | "park" | "remove" | "move" | "moving" | "placing" | "exchanging" | "marks";
  readonly entries: readonly Entry[];
  readonly places: readonly Place[];
  /** Of marks. */
  readonly count: number;
}

/** Undefined where a process died while it was written, or somebody else wrote it. */
function parsed(text: string): Line | undefined {
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

function textsOf(row: EntryRow | PlaceRow): string[] {
  const place = [row.parent, row.name.toString("latin1")];
  if (!("record" in row)) return place;
  return [...place, row.id, row.record.toString("base64"), row.links, row.seen.toString("base64")];
}

function placeOfTexts([parent, name]: readonly string[]): Place {
  if (parent === undefined || name === undefined) throw new TypeError("This is no place.");
  return { parent: parent as FileId, name: nameOf(Buffer.from(name, "latin1")) };
}

function entryOfTexts(texts: readonly string[]): Entry {
  const [parent, name, id, record, links, seen] = texts;
  if (parent === undefined || name === undefined || id === undefined) throw new TypeError("This is no entry.");
  if (record === undefined || links === undefined || seen === undefined) throw new TypeError("This is no entry.");
  const row = { parent, id, links, name: Buffer.from(name, "latin1"), record: Buffer.from(record, "base64") };
  return entryOf({ ...row, seen: Buffer.from(seen, "base64") });
}

/** Of this start of the system, this folder and what it stands on. Undefined: the log could not be believed. */
async function headerOf({ db, disk }: Places): Promise<string | undefined> {
  const { boot } = disk;
  const there = boot === undefined ? undefined : await disk.look(NEW_PATH);
  if (there === undefined) return undefined;
  const { dev, ino } = there;
  const [folder, base] = [db.fact("folder"), db.base()?.commit];
  return JSON.stringify({ version: VERSION, boot, dev: `${dev}`, ino: `${ino}`, folder, base });
}

function openedIn({ disk }: Places): AppendFile | undefined {
  try {
    return disk.openAppend?.(REDO_PATH);
  } catch {
    return undefined;
  }
}

async function textOf(disk: SyncDisk): Promise<string> {
  try {
    const file = await disk.read(REDO_PATH);
    try {
      const { size } = await file.stat();
      return size > MAX_BYTES ? "" : Buffer.from(await file.read(0, size)).toString("utf8");
    } finally {
      await file.close();
    }
  } catch {
    // Nothing is lost that is not in it; a round that waits for it would wait for ever.
    return "";
  }
}

const REDO_PATH = newPath("redo");
/** Of the lines: another version's are not believed. */
const VERSION = 1;
const DONE = ".";
const TAKEN_BACK = "x";
const MARKS = /^\.+x?$/;
const ANNOUNCED: ReadonlySet<string> = new Set(["placing", "exchanging", "moving"]);
const KINDS: ReadonlySet<string> = new Set(["put", "park", "placing", "exchanging"]);
/** A batch is far smaller. */
const MAX_BYTES = 256 * 1024 * 1024;
