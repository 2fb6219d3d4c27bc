/**
 * Inode numbers of the past, so that they stay the same for the next agent of a mount: the kernel goes on with them.
 *
 * Live inodes count from 1. The `.history` of a live directory has the directory's number plus 2⁵¹. An old object has 2⁵²
 * plus two numbers from tables: of the state that it was reached in, and of its row in the state's tree. A row number serves
 * all states, so that the tables grow with the bucket, not with its history.
 */
import { rmSync } from "node:fs";
import Database from "better-sqlite3";
import { BoundedMap } from "../../base/bounded-map.ts";
import { SQLITE_CACHE_KIB } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import { type Random, systemRandom } from "../../base/random.ts";
import type { Cid, FileId, FileName, Ino } from "../../base/ids.ts";
import { refuse } from "../refusal.ts";

const FIRST_LIST = 2 ** 51;
const FIRST_OLD = 2 ** 52;
const ROWS = 2 ** 28;
const STATES = 2 ** 24;
const REMEMBERED = 8_192;
const ID_DIGITS = 32;

export function isPast(ino: Ino): boolean {
  return ino >= FIRST_LIST;
}

/** Whether it is the `.history` of a live directory. */
export function isList(ino: Ino): boolean {
  return ino >= FIRST_LIST && ino < FIRST_OLD;
}

export function listOf(directory: Ino): Ino {
  return (FIRST_LIST + directory) as Ino;
}

/** The live directory of a `.history`. */
export function directoryOf(list: Ino): Ino {
  return (list - FIRST_LIST) as Ino;
}

/** A state of the bucket, as reached by one path. Each path has inodes of its own: a directory has one name in the kernel. */
export interface State {
  readonly commit: Cid;
  /** The live directory whose `.history` it was reached through. */
  readonly anchor: FileId;
  /** The name in the `.history`. */
  readonly name: string;
}

/** Where a tree has an object: by its id, or by the name that holds its record. */
export type Row =
  | { readonly id: FileId; readonly name: undefined }
  /** `id`: its directory's. */
  | { readonly id: FileId; readonly name: FileName };

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS states (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT`;

export class PastNumbers implements Disposable {
  readonly #db: Database.Database;
  readonly #states: Table;
  readonly #rows: Table;
  readonly #write: () => void;

  /** A file's path, or an open database; `keep`: the kernel goes on with numbers of an earlier agent. "" is a temporary file. */
  constructor(at: string | Database.Database, keep: boolean, random: Random = systemRandom) {
    if (!keep && typeof at === "string" && at !== "")
      for (const ending of ["", "-wal", "-shm"]) rmSync(at + ending, { force: true });
    this.#db = typeof at === "string" ? new Database(at) : at;
    // Keeps the WAL's index in memory: as a file it would need space, and an agent could not take over on a full disk.
    this.#db.pragma("locking_mode = EXCLUSIVE");
    this.#db.pragma("journal_mode = WAL");
    // The kernel forgets all numbers when the machine stops.
    this.#db.pragma("synchronous = OFF");
    this.#db.pragma(`cache_size = -${SQLITE_CACHE_KIB}`);
    this.#db.exec(SCHEMA);
    this.#states = new Table(this.#db, "states", STATES, random);
    this.#rows = new Table(this.#db, "rows", ROWS, random);
    this.#write = this.#db.transaction(() => {
      this.#states.write();
      this.#rows.write();
    });
  }

  /** The number of a state. Refuses EOVERFLOW when there are too many. */
  state({ commit, anchor, name }: State): number {
    return this.#states.number(`${commit} ${anchor} ${name}`);
  }

  row({ id, name }: Row): number {
    return this.#rows.number(id + (name ?? ""));
  }

  ino(state: number, row: number): Ino {
    return (FIRST_OLD + state * ROWS + row) as Ino;
  }

  /** The number of the state that an old object belongs to. */
  stateOf(ino: Ino): number {
    return Math.floor((ino - FIRST_OLD) / ROWS);
  }

  rowOf(ino: Ino): number {
    return (ino - FIRST_OLD) % ROWS;
  }

  /** Refuses ESTALE for a number that stands for nothing. */
  stateBy(number: number): State {
    const [commit, anchor, ...name] = this.#states.key(number).split(" ");
    return { commit: commit as Cid, anchor: anchor as FileId, name: name.join(" ") };
  }

  rowBy(number: number): Row {
    const key = this.#rows.key(number);
    const id = key.slice(0, ID_DIGITS) as FileId;
    return key.length === ID_DIGITS ? { id, name: undefined } : { id, name: key.slice(ID_DIGITS) as FileName };
  }

  /** Keeps the new numbers for the next agent. Call this before any of them leaves. If it throws, the next call tries again. */
  persist(): void {
    if (!this.#states.hasNew && !this.#rows.hasNew) return;
    this.#write();
    this.#states.written();
    this.#rows.written();
  }

  [Symbol.dispose](): void {
    try {
      this.persist();
    } catch {
      // The mount has ended, so no agent needs them.
    }
    this.#db.close();
  }
}

/** The numbers of a mount. If its state cannot keep them, as on a full disk, they last as long as this agent. */
export function openNumbers(path: string, keep: boolean, log: Log): PastNumbers {
  try {
    return new PastNumbers(path, keep);
  } catch (error) {
    log.warn(NOT_KEPT, { error: describeError(error) });
    return new PastNumbers("", false);
  }
}

export const NOT_KEPT = "if this agent dies, files that are open in .history become unreadable";

/** Numbers for keys, with those used last in memory. */
class Table {
  readonly #find: Database.Statement<[string], { number: number }>;
  readonly #read: Database.Statement<[number], { key: string }>;
  readonly #add: Database.Statement<[number, string]>;
  readonly #numbers = new BoundedMap<string, number>(REMEMBERED);
  readonly #keys = new BoundedMap<number, string>(REMEMBERED);
  /** New numbers that are not in the table yet. */
  readonly #newNumbers = new Map<string, number>();
  readonly #newKeys = new Map<number, string>();
  readonly #limit: number;
  #next: number;

  constructor(db: Database.Database, table: "states" | "rows", limit: number, random: Random) {
    this.#find = db.prepare(`SELECT number FROM ${table} WHERE key = ?`);
    this.#read = db.prepare(`SELECT key FROM ${table} WHERE number = ?`);
    this.#add = db.prepare(`INSERT INTO ${table} (number, key) VALUES (?, ?)`);
    const greatest = db.prepare<[], { most: number }>(`SELECT COALESCE(MAX(number), 0) AS most FROM ${table}`).get();
    // An earlier agent may have given out numbers that it could not keep. They should lead to no other object.
    this.#next = 1 + (greatest?.most || Math.floor((random.fraction() * limit) / 2));
    this.#limit = limit;
  }

  get hasNew(): boolean {
    return this.#newKeys.size > 0;
  }

  /** Call this in a transaction, and `written` after it. */
  write(): void {
    for (const [number, key] of this.#newKeys) this.#add.run(number, key);
  }

  written(): void {
    this.#newNumbers.clear();
    this.#newKeys.clear();
  }

  number(key: string): number {
    const known = this.#numbers.get(key) ?? this.#newNumbers.get(key) ?? this.#find.get(key)?.number;
    if (known === undefined && this.#next >= this.#limit) throw refuse("EOVERFLOW");
    const number = known ?? this.#next++;
    if (known === undefined) {
      this.#newNumbers.set(key, number);
      this.#newKeys.set(number, key);
    }
    this.#remember(number, key);
    return number;
  }

  key(number: number): string {
    const known = this.#keys.get(number) ?? this.#newKeys.get(number) ?? this.#read.get(number)?.key;
    if (known === undefined) throw refuse("ESTALE");
    this.#remember(number, known);
    return known;
  }

  #remember(number: number, key: string): void {
    this.#numbers.set(key, number);
    this.#keys.set(number, key);
  }
}
