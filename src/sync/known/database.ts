/**
 * The last synced tree, in SQLite: each name that the folder shows, its object in the bucket, the record that it shows, and
 * how it looked on the disk. It also holds the places where the folder is behind its base ("unsettled").
 *
 * If a place is not unsettled, its entry is what the base's tree has there. Only one process uses it.
 */
import type Database from "better-sqlite3";
import type { FileId, FileName } from "../../base/ids.ts";
import { samePlace, type Place } from "../../fstree/object-rows.ts";
import type { FactKey } from "./fact-key.ts";
import { parseBaseRoot } from "../../overlay/base-root.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import { damagedState } from "./damaged.ts";
import { DirectoryPlaces } from "./directory-places.ts";
import { entryOf, nameBytes, nameOf, rowOf, type Entry, type EntryChange, type EntryRow } from "./entry.ts";
import { openTables, withPath } from "./open-tables.ts";
import { decodeSeen, type Seen } from "./seen.ts";
import { PARKED_ID } from "../disk/paths.ts";
import { TouchedDirectories } from "./touched-directories.ts";
import { UnsettledPlaces, type Reason, type UnsettledPlace } from "./unsettled.ts";

/** How a name looked when last synced, without the bucket's data. */
export interface Look {
  readonly name: FileName;
  readonly id: FileId;
  readonly isDirectory: boolean;
  readonly seen: Seen;
}

export class SyncDatabase {
  readonly #db: Database.Database;
  readonly #at: Database.Statement<[string, Buffer], EntryRow>;
  readonly #byId: Database.Statement<[string], EntryRow>;
  readonly #anyById: Database.Statement<[string], EntryRow>;
  readonly #places: DirectoryPlaces;
  readonly #byIno: Database.Statement<[string], EntryRow>;
  readonly #anyByIno: Database.Statement<[string], EntryRow>;
  readonly #children: Database.Statement<[string], EntryRow>;
  readonly #looks: Database.Statement<[string], [Buffer, string, number, Buffer]>;
  readonly #directories: Database.Statement<[string], EntryRow>;
  readonly #put: Database.Statement;
  readonly #remove: Database.Statement;
  /** Places where the folder is behind its base. */
  readonly behind: UnsettledPlaces;
  readonly touched: TouchedDirectories;
  #isDryRun = false;
  /** The fact "directory moved" is set: no need to look at further directories. */
  #hasMoved = false;
  #told: ((change: EntryChange) => void) | undefined;

  /** A file's path, or an open database. */
  constructor(at: string | Database.Database) {
    this.#db = openTables(at);
    const columns = "parent, name, id, record, links, seen";
    this.#at = this.#db.prepare(`SELECT ${columns} FROM entries WHERE parent = ? AND name = ?`);
    this.#byId = this.#db.prepare(`SELECT ${columns} FROM entries WHERE id = ? ORDER BY parent, name`);
    this.#anyById = this.#db.prepare(`SELECT ${columns} FROM entries WHERE id = ? ORDER BY rowid DESC`);
    this.#places = new DirectoryPlaces(this.#db);
    this.#byIno = this.#db.prepare(`SELECT ${columns} FROM entries WHERE ino = ? ORDER BY parent, name`);
    this.#anyByIno = this.#db.prepare(`SELECT ${columns} FROM entries WHERE ino = ?`);
    this.#children = this.#db.prepare(`SELECT ${columns} FROM entries WHERE parent = ? ORDER BY name`);
    this.#looks = this.#db
      .prepare<[string], [Buffer, string, number, Buffer]>("SELECT name, id, file, seen FROM entries WHERE parent = ?")
      .raw();
    this.#directories = this.#db.prepare(`SELECT ${columns} FROM entries WHERE parent = ? AND file = 0 ORDER BY name`);
    this.#put = this.#db.prepare(
      "INSERT OR REPLACE INTO entries (parent, name, id, file, ino, record, links, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#remove = this.#db.prepare("DELETE FROM entries WHERE parent = ? AND name = ?");
    this.behind = new UnsettledPlaces(this.#db);
    this.touched = new TouchedDirectories(this.#db);
  }

  close(): void {
    this.#db.close();
  }

  /** Adds this database's path to an error of SQLite. */
  named(error: unknown): unknown {
    return withPath(error, this.#db.name);
  }

  at({ parent, name }: Place): Entry | undefined {
    const row = this.#at.get(parent, nameBytes(name));
    return row === undefined ? undefined : entryOf(row);
  }

  /** All names of an object. */
  byId(id: FileId): Entry[] {
    return this.#byId.all(id).map(entryOf);
  }

  /** As `byId`, but the newest row first, each read when it is needed: a file may have 65,000. Write nothing meanwhile. */
  *anyById(id: FileId): Generator<Entry> {
    for (const row of this.#anyById.iterate(id)) yield entryOf(row);
  }

  /** Whether an object has a name here. */
  isKnown(id: FileId): boolean {
    for (const _ of this.#anyById.iterate(id)) return true;
    return false;
  }

  /** A directory's only name. */
  placeOf(directory: FileId): Place | undefined {
    return this.#places.of(directory);
  }

  byInode(ino: bigint): Entry[] {
    return this.#byIno.all(String(ino)).map(entryOf);
  }

  /** Whether a name with this inode is as wanted. Reads them, in no order, up to that one: a file may have 65,000. */
  hasInode(ino: bigint, isWanted: (entry: Entry) => boolean): boolean {
    for (const row of this.#anyByIno.iterate(String(ino))) if (isWanted(entryOf(row))) return true;
    return false;
  }

  children(parent: FileId): Entry[] {
    return this.#children.all(parent).map(entryOf);
  }

  directoriesIn(parent: FileId): Entry[] {
    return this.#directories.all(parent).map(entryOf);
  }

  /** How each name in a directory looked: cheaper than its entries. */
  looks(parent: FileId): Map<FileName, Look> {
    const looks = new Map<FileName, Look>();
    for (const [bytes, id, file, seen] of this.#looks.all(parent)) {
      const name = nameOf(bytes);
      looks.set(name, { name, id: id as FileId, isDirectory: file === 0, seen: decodeSeen(seen) });
    }
    return looks;
  }

  /** Every id that has entries below it, each found in one step of the index. */
  parents(): FileId[] {
    const raw = this.#db.prepare<[], string | null>(
      `WITH RECURSIVE parents (parent) AS (
         SELECT MIN(parent) FROM entries
         UNION ALL SELECT (SELECT MIN(parent) FROM entries WHERE parent > parents.parent) FROM parents WHERE parent IS NOT NULL
       ) SELECT parent FROM parents WHERE parent IS NOT NULL`,
    );
    return raw.pluck().all() as FileId[];
  }

  /** Objects with several names. */
  linkedIds(): Set<FileId> {
    const raw = this.#db.prepare<[], string>("SELECT id FROM entries GROUP BY id HAVING COUNT(*) > 1");
    return new Set(raw.pluck().all() as FileId[]);
  }

  /** Every entry, by parent and name. Do not change the database during the iteration. */
  *entries(): Generator<Entry> {
    const all = this.#db.prepare<[], EntryRow>(
      "SELECT parent, name, id, record, links, seen FROM entries ORDER BY parent, name",
    );
    for (const raw of all.iterate()) yield entryOf(raw);
  }

  /** Whether nothing has been synced yet. */
  isEmpty(): boolean {
    return this.#db.prepare("SELECT 1 FROM entries LIMIT 1").get() === undefined;
  }

  /** Counts names of files and links. */
  countFiles(): number {
    return this.#db.prepare<[], { n: number }>("SELECT COUNT(*) AS n FROM entries WHERE file = 1").get()?.n ?? 0;
  }

  put(entry: Entry): void {
    const row = rowOf(entry);
    this.#putRow(row, entry);
    this.#told?.({ kind: "put", row });
  }

  remove(place: Place): void {
    this.#removeAt(place);
    this.#told?.({ kind: "remove", row: { parent: place.parent, name: nameBytes(place.name) } });
  }

  /** Moves an entry. Reported as one change: half of it would look like a removal and a new file. */
  move(from: Entry, { parent, name }: Place): Entry {
    const moved = { ...from, parent, name };
    const row = rowOf(moved);
    this.#removeAt(from);
    this.#putRow(row, moved);
    this.#told?.({ kind: "move", row, from: { parent: from.parent, name: nameBytes(from.name) } });
    return moved;
  }

  /** Puts an entry out of sight until it has a place again; its old place is recorded. */
  park(entry: Entry, { parent, name }: Place = entry): void {
    const { id } = entry;
    const row = rowOf(entry);
    this.#removeAt(entry);
    this.#putRow({ ...row, parent: PARKED_ID, name: nameBytes(id as string as FileName) }, entry);
    this.#db
      .prepare("INSERT OR REPLACE INTO parked (id, parent, name) VALUES (?, ?, ?)")
      .run(id, parent, nameBytes(name));
    this.#told?.({ kind: "park", row });
  }

  /** Its place before it was parked. Undefined: an earlier version parked it. */
  parkedFrom(id: FileId): Place | undefined {
    const raw = this.#db
      .prepare<[string], Pick<EntryRow, "parent" | "name">>("SELECT parent, name FROM parked WHERE id = ?")
      .get(id);
    return raw === undefined ? undefined : { parent: raw.parent as FileId, name: nameOf(raw.name) };
  }

  /** Gives an object, with everything in it, another id. */
  succeed(before: FileId, after: FileId): void {
    this.#db.prepare("UPDATE OR REPLACE entries SET id = ? WHERE id = ?").run(after, before);
    // Entries already known under the new id stay; a name that both have is looked at anew.
    this.#db.prepare("UPDATE OR IGNORE entries SET parent = ? WHERE parent = ?").run(after, before);
    this.#db.prepare("DELETE FROM entries WHERE parent = ?").run(before);
    this.touched.succeed(before, after);
    this.#places.clear();
  }

  unsettle(place: Place, reason?: Reason): void {
    this.behind.unsettle(place, reason);
  }

  settle(place: Place): void {
    this.behind.settle(place);
  }

  unsettled(): UnsettledPlace[] {
    return this.behind.all();
  }

  fact(key: FactKey): string | undefined {
    return this.#db.prepare<[string], { value: string }>("SELECT value FROM facts WHERE key = ?").get(key)?.value;
  }

  setFact(key: FactKey, value: string | undefined): void {
    if (key === "directory moved") this.#hasMoved = value !== undefined;
    if (value === undefined) this.#db.prepare("DELETE FROM facts WHERE key = ?").run(key);
    else this.#db.prepare("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)").run(key, value);
  }

  /** A stored number; 0 if there is none. Throws `state_corrupt`. */
  count(key: FactKey): number {
    const text = this.fact(key) ?? "0";
    const count = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) throw damagedState();
    return count;
  }

  /** The folder's base; undefined before the first pass. Throws `state_corrupt`. */
  base(): BaseRoot | undefined {
    const text = this.fact("base");
    if (text === undefined) return undefined;
    const base = parseBaseRoot(text);
    if (base === undefined) throw damagedState();
    return base;
  }

  setBase({ commit, tree, seq }: BaseRoot): void {
    this.setFact("base", JSON.stringify({ commit, tree, seq }));
  }

  /** Resets to a folder that was never synced; epoch numbers are still not reused. */
  forget(): void {
    for (const table of ["entries", "parked", "unsettled", "touched"]) this.#db.exec(`DELETE FROM ${table}`);
    this.#db.exec("DELETE FROM facts WHERE key NOT IN ('bucket', 'folder', 'epoch')");
    this.#hasMoved = false;
    this.#places.clear();
  }

  /** Runs `work` on one snapshot with one lock: otherwise each statement costs four more system calls. */
  reading<Result>(work: () => Result): Result {
    if (this.#db.inTransaction) return work();
    this.#db.exec("BEGIN");
    try {
      return work();
    } finally {
      this.#db.exec("COMMIT");
    }
  }

  /** Runs `work` and undoes its changes. */
  async dryRun<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#db.exec("BEGIN IMMEDIATE");
    this.#isDryRun = true;
    try {
      return await work();
    } finally {
      this.#isDryRun = false;
      this.#undone();
    }
  }

  /** Does all of `work` or none. Reads meanwhile see its changes. `told` gets each change of the entries. */
  async transaction<Result>(
    work: () => Result | Promise<Result>,
    told?: (change: EntryChange) => void,
  ): Promise<Result> {
    if (this.#isDryRun) return work();
    this.#db.exec("BEGIN IMMEDIATE");
    this.#told = told;
    try {
      const result = await work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      this.#undone();
      throw error;
    } finally {
      this.#told = undefined;
    }
  }

  #undone(): void {
    // SQLite rolls back by itself when its disk is full.
    if (this.#db.inTransaction) this.#db.exec("ROLLBACK");
    this.#hasMoved = false;
    this.#places.clear();
  }

  #putRow({ parent, name, id, record, links, seen }: EntryRow, of: Entry): void {
    const isFile = of.record.type === "directory" ? 0 : 1;
    const place = { parent: parent as FileId, name: nameOf(name) };
    if (isFile === 0 && !this.#hasMoved) this.#noteMoved(of.id, place);
    this.#put.run(parent, name, id, isFile, String(of.seen.ino), record, links, seen);
    this.#places.changed(place, of.id);
  }

  #noteMoved(directory: FileId, place: Place): void {
    const before = this.placeOf(directory);
    if (before === undefined || !samePlace(before, place)) this.setFact("directory moved", "yes");
  }

  #removeAt({ parent, name }: Place): void {
    this.#remove.run(parent, nameBytes(name));
    this.#places.changed({ parent, name }, undefined);
    this.behind.retryCollided(parent);
    if (parent === PARKED_ID) this.#db.prepare("DELETE FROM parked WHERE id = ?").run(name);
  }
}
