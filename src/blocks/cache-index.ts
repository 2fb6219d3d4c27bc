/**
 * The index of a disk cache, in SQLite: which segment file holds which block. Several connections, of threads or processes,
 * may share it. It may be lost at any time: blocks are checked against their hashes, and without an index the cache is
 * empty.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type Database from "better-sqlite3";
import { MAX_BLOCK_ACCEPTED, SQLITE_CACHE_KIB } from "../base/limits.ts";
import { openSqlite, sqlite } from "../objects/sqlite.ts";

export interface CachedPlace {
  readonly segment: number;
  /** The segment's file. */
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** A part of a segment. */
export interface CachedRange {
  readonly offset: number;
  readonly length: number;
}

export interface CachedRow extends CachedRange {
  readonly digest: Uint8Array;
}

export interface CacheSegment {
  readonly id: number;
  readonly name: string;
}

/** Calls throw SQLite's errors. Implementations: SQLite, and a simulated one. */
export interface CacheIndex {
  /** Bytes in all segments. */
  readonly bytes: number;
  find(digest: Uint8Array): CachedPlace | undefined;
  /** Runs `work` on one snapshot, with one lock and unlock: a separate `find` costs four more system calls. */
  reading<Result>(work: () => Result): Result;
  addSegment(): CacheSegment;
  /** Adds blocks appended to a segment. False, and nothing added, if the segment was dropped meanwhile. */
  add(segment: number, rows: readonly CachedRow[]): boolean;
  /** Marks segments as used now. */
  use(segments: Iterable<number>): void;
  leastRecent(): CacheSegment | undefined;
  dropSegment(segment: number): void;
  /** Forgets a block if the index still places it there. */
  dropBlock(digest: Uint8Array, place: CachedPlace): void;
  /** As `dropBlock`, for several blocks in one segment. Returns the places of the segment's other blocks, ascending. */
  dropBlocks(segment: number, blocks: readonly CachedRow[]): CachedRange[];
  /** Notes that the segment's file takes this many bytes less on the disk. */
  shrink(segment: number, bytes: number): void;
  /** Whether the open index is still the one on disk. */
  isPresent(): boolean;
  close(): void;
}

const FILE = "index.sqlite";
const ENDING = ".blocks";
const SEGMENT_NAME = /^[0-9a-f]{16}\.blocks$/;
const VERSION = 1;
const SCHEMA = `
  CREATE TABLE segments (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0,
    used  INTEGER NOT NULL  -- ascends with every use: the least is the least recently used
  ) STRICT;
  CREATE TABLE blocks (
    digest  BLOB PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    length  INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blocks_of_segment ON blocks (segment);
  PRAGMA user_version = ${VERSION};`;

const NEXT_USE = "(SELECT ifnull(max(used), 0) + 1 FROM segments)";

export class SqliteCacheIndex implements CacheIndex {
  readonly #path: string;
  readonly #db: Database.Database;
  readonly #inode: number;
  readonly #find: Database.Statement<[Uint8Array], FoundRow>;
  readonly #insert: Database.Statement<[Uint8Array, number, number, number]>;
  readonly #grow: Database.Statement<[number, number]>;
  readonly #use: Database.Statement<[number]>;
  readonly #total: Database.Statement<[], { bytes: number }>;
  readonly #least: Database.Statement<[], CacheSegment>;

  /** Opens the folder's index, or makes an empty one and removes a lost one's segments. Throws SQLite's errors. */
  constructor(dir: string) {
    this.#path = join(dir, FILE);
    this.#db = openSqlite(this.#path, { timeout: BUSY_MS });
    try {
      this.#db.pragma("journal_mode = WAL");
      // Power loss may damage the index; it is then rebuilt (DiskBlockCache).
      this.#db.pragma("synchronous = OFF");
      this.#db.pragma(`cache_size = -${SQLITE_CACHE_KIB}`);
      this.#db.transaction(() => this.#create(dir)).immediate();
      this.#check();
      this.#sweep(dir);
      this.#inode = statSync(this.#path).ino;
      // A join would be planned anew for each block.
      const name = "(SELECT name FROM segments WHERE id = segment) AS name";
      this.#find = this.#db.prepare(`SELECT segment, ${name}, offset, length FROM blocks WHERE digest = ?`);
      this.#insert = this.#db.prepare("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)");
      this.#grow = this.#db.prepare(`UPDATE segments SET bytes = bytes + ?, used = ${NEXT_USE} WHERE id = ?`);
      this.#use = this.#db.prepare(`UPDATE segments SET used = ${NEXT_USE} WHERE id = ?`);
      this.#total = this.#db.prepare("SELECT total(bytes) AS bytes FROM segments");
      this.#least = this.#db.prepare("SELECT id, name FROM segments ORDER BY used LIMIT 1");
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  find(digest: Uint8Array): CachedPlace | undefined {
    const place = this.#find.get(digest);
    if (place === undefined || !isInSegment(place)) return undefined;
    if (!isOffset(place.offset) || !isLength(place.length)) throw unreadable("a block with an invalid location");
    return place;
  }

  reading<Result>(work: () => Result): Result {
    return this.#db.transaction(work)();
  }

  get bytes(): number {
    return this.#total.get()?.bytes ?? 0;
  }

  addSegment(): CacheSegment {
    const insert = `INSERT INTO segments (name, used) VALUES (lower(hex(randomblob(8))) || '${ENDING}', ${NEXT_USE})`;
    const row = this.#db.prepare<[], CacheSegment>(`${insert} RETURNING id, name`).get();
    return row ?? { id: 0, name: "" };
  }

  add(segment: number, rows: readonly CachedRow[]): boolean {
    return this.#db
      .transaction(() => {
        const bytes = rows.reduce((sum, { length }) => sum + length, 0);
        if (this.#grow.run(bytes, segment).changes === 0) return false;
        for (const { digest, offset, length } of rows) this.#insert.run(digest, segment, offset, length);
        return true;
      })
      .immediate();
  }

  use(segments: Iterable<number>): void {
    this.#db.transaction(() => [...segments].forEach((segment) => this.#use.run(segment))).immediate();
  }

  leastRecent(): CacheSegment | undefined {
    return this.#least.get();
  }

  dropSegment(segment: number): void {
    this.#db
      .transaction(() => {
        this.#db.prepare("DELETE FROM blocks WHERE segment = ?").run(segment);
        this.#db.prepare("DELETE FROM segments WHERE id = ?").run(segment);
      })
      .immediate();
  }

  dropBlock(digest: Uint8Array, { segment, offset }: CachedPlace): void {
    const where = "digest = ? AND segment = ? AND offset = ?";
    this.#db.prepare(`DELETE FROM blocks WHERE ${where}`).run(digest, segment, offset);
  }

  dropBlocks(segment: number, blocks: readonly CachedRow[]): CachedRange[] {
    return this.#db
      .transaction(() => {
        const drop = this.#db.prepare("DELETE FROM blocks WHERE digest = ? AND segment = ? AND offset = ?");
        for (const { digest, offset } of blocks) drop.run(digest, segment, offset);
        const left = "SELECT offset, length FROM blocks WHERE segment = ? ORDER BY offset";
        return this.#db.prepare<[number], CachedRange>(left).all(segment);
      })
      .immediate();
  }

  shrink(segment: number, bytes: number): void {
    this.#db.prepare("UPDATE segments SET bytes = max(0, bytes - ?) WHERE id = ?").run(bytes, segment);
  }

  isPresent(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode;
  }

  close(): void {
    this.#db.close();
  }

  /** SQLite checks its pages, but not their contents. There are few segments. */
  #check(): void {
    const rows = this.#db.prepare<[], { id: number; name: string; bytes: number; used: number }>(
      "SELECT * FROM segments",
    );
    for (const { id, name, bytes, used } of rows.iterate()) {
      if (!SEGMENT_NAME.test(name) || ![id, bytes, used].every(isOffset)) throw unreadable("an invalid segment");
    }
  }

  /**
   * Removes files that have no row. Such files remain if a process dies between deleting a row and its file, or if power
   * loss undoes rows. Another process adds a row before its file, so files are listed before rows are read.
   */
  #sweep(dir: string): void {
    const files = segmentsIn(dir);
    const known = new Set(this.#db.prepare<[], string>("SELECT name FROM segments").pluck().all());
    for (const name of files) if (!known.has(name)) rmSync(join(dir, name), { force: true });
  }

  #create(dir: string): void {
    const version = this.#db.pragma("user_version", { simple: true });
    if (version === VERSION) return;
    if (version !== 0)
      throw new (sqlite().SqliteError)("The index of the block cache has another version.", "SQLITE_NOTADB");
    this.#db.exec(SCHEMA);
    for (const name of segmentsIn(dir)) rmSync(join(dir, name), { force: true });
  }
}

function segmentsIn(dir: string): string[] {
  return readdirSync(dir).filter((name) => name.endsWith(ENDING));
}

interface FoundRow extends Omit<CachedPlace, "name"> {
  /** null: there is no such segment. */
  readonly name: string | null;
}

function isInSegment(row: FoundRow): row is FoundRow & CachedPlace {
  return row.name !== null;
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isLength(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= MAX_BLOCK_ACCEPTED;
}

function unreadable(what: string): Error {
  return new (sqlite().SqliteError)(`The index of the block cache has ${what}.`, "SQLITE_CORRUPT");
}

/** Removes an unreadable index. */
export function removeIndex(dir: string): void {
  for (const ending of ["", "-wal", "-shm"]) rmSync(join(dir, FILE + ending), { force: true });
}

/** Whether an index's error means that its file is invalid. */
export function isUnreadableIndex(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("SQLITE_CORRUPT") || code.startsWith("SQLITE_NOTADB");
}

/** How long one connection waits for another's transaction; each takes about a millisecond. */
const BUSY_MS = 1_000;
