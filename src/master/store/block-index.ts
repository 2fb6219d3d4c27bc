/**
 * Where each block lies in an owner's packs, and what else is known of it, in SQLite. It follows the packs and can be
 * rebuilt from them at any time; anything else in it is found again by a walk or the next request.
 */
import Database from "better-sqlite3";
import { MAX_BLOCK_ACCEPTED, SQLITE_CACHE_KIB } from "../../base/limits.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import { BLOCK_OVERHEAD_BYTES } from "../limits.ts";
import { KnownRoots } from "./known-roots.ts";
import { isPackFile } from "./pack-path.ts";
import { eachIn, IndexMarks, type Sweep, type SweepStep } from "./index-marks.ts";

export interface PackPlacement {
  /** The pack's name: 32 hex digits. */
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
}

export interface IndexedBlock extends PackPlacement {
  /** 1: the bytes there turned out to be wrong. */
  readonly damaged: 0 | 1;
}

export interface IndexedPack {
  readonly name: string;
  /** One of PackState. */
  readonly sealed: PackState;
  /** Bytes of blocks acknowledged so far. */
  readonly end: number;
}

/** `sealed`: has its footer, and rows in the index; `leaving`: its blocks are copied elsewhere; `left`: its file can go. */
export const PACK_STATES = { growing: 0, sealed: 1, leaving: 2, left: 3 } as const;
export type PackState = (typeof PACK_STATES)[keyof typeof PACK_STATES];

const VERSION = 2;
const SCHEMA = `
  CREATE TABLE packs (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL UNIQUE,
    sealed INTEGER NOT NULL,
    "end"  INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE blocks (
    digest   BLOB PRIMARY KEY,
    pack     INTEGER NOT NULL,
    offset   INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    damaged  INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0,  -- as a node: all that it reaches was stored in the era of this collection
    seen     INTEGER NOT NULL DEFAULT 0,  -- the last collection whose marks reached it
    leased   INTEGER NOT NULL             -- seconds since 1970; not to be collected for a while after
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX damaged_blocks ON blocks (pack) WHERE damaged = 1;
  CREATE TABLE totals (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    blocks INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    marked INTEGER NOT NULL,  -- the collection that began last
    era    INTEGER NOT NULL   -- the one that took something last: what was found complete before counts no more
  ) STRICT;
  INSERT INTO totals VALUES (1, 0, 0, 1, 1);
  PRAGMA user_version = ${VERSION};`;

/** Pack rows have 32-bit offsets. */
const MAX_PACK_BYTES = 2 ** 32;
/** Clamps bad rows to a pack's bounds: what is read there does not have the block's hash. */
const RANGE = `min(max(offset, 0), ${MAX_PACK_BYTES}) AS offset, min(max(length, 0), ${MAX_BLOCK_ACCEPTED}) AS length`;
const PLACE = `name AS pack, ${RANGE}, damaged FROM blocks JOIN packs ON id = pack`;

interface Healed {
  readonly pack: number;
  readonly offset: number;
  readonly digest: Uint8Array;
  readonly leased: number;
}

export class BlockIndex {
  readonly marks: IndexMarks;
  readonly roots: KnownRoots;
  readonly #db: Database.Database;
  readonly #find: Database.Statement<[Uint8Array], IndexedBlock>;
  readonly #insert: Database.Statement<[Uint8Array, number, number, number, number]>;
  readonly #heal: Database.Statement<[Healed]>;
  readonly #replace: Database.Statement<[Healed]>;
  readonly #names: Database.Statement<[Uint8Array]>;
  readonly #putPack: Database.Statement<[string, number, number], { id: number }>;
  readonly #count: Database.Statement<[number, number]>;
  readonly #lease: Database.Statement<[number, Uint8Array, number]>;
  #usedBytes: number;

  /** Opens it, or makes an empty one. Throws SQLite's errors: `isUnreadable` ones mean that the index is lost. */
  constructor(path: string, databases: Databases = systemDatabases) {
    this.#db = databases.open(path);
    try {
      // One process only, so SQLite needs no shared memory file.
      this.#db.pragma("locking_mode = EXCLUSIVE");
      this.#db.pragma("journal_mode = WAL");
      this.#db.pragma("synchronous = NORMAL");
      this.#db.pragma(`cache_size = -${SQLITE_CACHE_KIB}`);
      this.#db.transaction(() => this.#create()).immediate();
      // A join would be planned anew for each block.
      const pack = "ifnull((SELECT name FROM packs WHERE id = pack), '') AS pack";
      this.#find = this.#db.prepare(`SELECT ${pack}, ${RANGE}, damaged FROM blocks WHERE digest = ?`);
      this.#insert = this.#db.prepare(
        "INSERT OR IGNORE INTO blocks (digest, pack, offset, length, leased) VALUES (?, ?, ?, ?, ?)",
      );
      this.#heal = this.#db.prepare(
        // A healed block was uploaded again, and is leased as new; a collection's copy is not.
        `UPDATE blocks SET pack = @pack, offset = @offset, damaged = 0, leased = iif(damaged = 1, max(leased, @leased), leased)
         WHERE digest = @digest AND NOT (pack = @pack AND offset = @offset)
           AND (damaged = 1 OR (SELECT sealed FROM packs WHERE id = blocks.pack) = ${PACK_STATES.leaving})`,
      );
      this.#replace = this.#db.prepare(
        `UPDATE blocks SET pack = @pack, offset = @offset, damaged = 0, leased = max(leased, @leased)
         WHERE digest = @digest`,
      );
      this.#names = this.#db.prepare("SELECT 1 FROM blocks WHERE digest = ?");
      this.#putPack = this.#db.prepare(
        `INSERT INTO packs (name, sealed, "end") VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, "end" = excluded."end" RETURNING id`,
      );
      this.#count = this.#db.prepare("UPDATE totals SET blocks = blocks + ?, bytes = bytes + ?");
      this.marks = new IndexMarks(this.#db);
      this.roots = new KnownRoots(this.#db);
      this.#lease = this.#db.prepare("UPDATE blocks SET leased = ? WHERE digest = ? AND leased < ?");
      this.#usedBytes = usedBytesOf(this.totals());
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  find(digest: Uint8Array): IndexedBlock | undefined {
    const place = this.#find.get(digest);
    return place !== undefined && isPackFile(place.pack) ? place : undefined;
  }

  /** Whether the index has a row for it, even an unusable one; collected blocks have none. */
  names(digest: Uint8Array): boolean {
    return this.#names.get(digest) !== undefined;
  }

  /**
   * Enters a pack's blocks. A block keeps its place, unless that is a different one and damaged, without a pack, or in a
   * pack that is leaving. Returns the rows whose blocks kept another place.
   */
  add({ name, sealed, end }: IndexedPack, rows: Iterable<PackRow>, leased: number): PackRow[] {
    const elsewhere: PackRow[] = [];
    let [blocks, bytes] = [0, 0];
    this.#db
      .transaction(() => {
        const id = this.#putPack.get(name, sealed, end)?.id ?? 0;
        for (const row of rows) {
          if (this.#insert.run(row.digest, id, row.offset, row.length, leased).changes === 1) {
            blocks++;
            bytes += row.length;
            continue;
          }
          const healed = { pack: id, offset: row.offset, digest: row.digest, leased };
          if (this.#heal.run(healed).changes === 1) continue;
          const place = this.find(row.digest);
          if (place === undefined) this.#replace.run(healed);
          else if (place.pack !== name || place.offset !== row.offset) elsewhere.push(row);
        }
        this.#count.run(blocks, bytes);
      })
      .immediate();
    this.#usedBytes += usedBytesOf({ blocks, bytes });
    return elsewhere;
  }

  /** Marks a block's bytes as wrong, if the index still places it there. */
  markDamaged(digest: Uint8Array, { pack, offset }: PackPlacement): void {
    this.#db
      .prepare(
        "UPDATE blocks SET damaged = 1 WHERE digest = ? AND offset = ? AND pack = (SELECT id FROM packs WHERE name = ?)",
      )
      .run(digest, offset, pack);
  }

  /** Skips rows whose name is not a pack's: they match no file of the owner. */
  packs(): IndexedPack[] {
    const rows = this.#db.prepare<[], IndexedPack>('SELECT name, sealed, "end" FROM packs').all();
    return rows.filter(({ name }) => isPackFile(name));
  }

  /** Whether this pack has blocks found damaged. */
  hasDamaged(pack: string): boolean {
    const sql = "SELECT 1 FROM blocks WHERE damaged = 1 AND pack = (SELECT id FROM packs WHERE name = ?) LIMIT 1";
    return this.#db.prepare(sql).get(pack) !== undefined;
  }

  /** Whether this pack holds any blocks. Reads the whole index if it holds none. */
  holdsAny(pack: string): boolean {
    const sql = "SELECT 1 FROM blocks WHERE pack = (SELECT id FROM packs WHERE name = ?) LIMIT 1";
    return this.#db.prepare(sql).get(pack) !== undefined;
  }

  /** All rows, by digest. */
  rows(): IterableIterator<IndexedBlock & { readonly digest: Buffer }> {
    const sql = `SELECT digest, ${PLACE} ORDER BY digest`;
    return this.#db.prepare<[], IndexedBlock & { readonly digest: Buffer }>(sql).iterate();
  }

  /** The index's rows of one pack, by offset. Reads the whole index. */
  *rowsOf(pack: string): Iterable<PackRow> {
    const sql = `SELECT digest, ${RANGE}, 0 AS codec FROM blocks JOIN packs ON id = pack WHERE name = ? ORDER BY offset`;
    yield* this.#db.prepare<[string], PackRow>(sql).iterate(pack);
  }

  /** Forgets a lost pack and its blocks. Reads the whole index. */
  dropPack(name: string): void {
    this.#db
      .transaction(() => {
        this.#db.prepare("DELETE FROM blocks WHERE pack = (SELECT id FROM packs WHERE name = ?)").run(name);
        this.#db.prepare("DELETE FROM packs WHERE name = ?").run(name);
        const sum = "(SELECT count(*) FROM blocks), bytes = (SELECT ifnull(sum(length), 0) FROM blocks)";
        this.#db.prepare(`UPDATE totals SET blocks = ${sum}`).run();
      })
      .immediate();
    this.#usedBytes = usedBytesOf(this.totals());
  }

  /** Whether everything that the node reaches is known to be stored. */
  isComplete(digest: Uint8Array): boolean {
    return this.marks.isComplete(digest);
  }

  markComplete(digests: Iterable<Uint8Array>): void {
    this.marks.markComplete(digests);
  }

  /** `now`: seconds since 1970. */
  lease(digests: Iterable<Uint8Array>, now: number): void {
    eachIn(this.#db, digests, (digest) => this.#lease.run(now, digest, now).changes);
  }

  /** As IndexMarks; also subtracts deleted blocks from the totals. */
  sweep(after: Uint8Array, limit: number, sweep: Sweep): SweepStep {
    const step = this.marks.sweep(after, limit, sweep);
    if (!sweep.dryRun) this.#usedBytes -= usedBytesOf(step.gone);
    return step;
  }

  setState(pack: string, state: PackState): void {
    this.#db.prepare("UPDATE packs SET sealed = ? WHERE name = ?").run(state, pack);
  }

  /** Forgets a pack without blocks. */
  forgetPack(name: string): void {
    this.#db.prepare("DELETE FROM packs WHERE name = ?").run(name);
  }

  /** Makes all changes so far durable. Throws SQLite's errors. */
  flush(): void {
    this.#db.pragma("wal_checkpoint(FULL)");
  }

  totals(): { readonly blocks: number; readonly bytes: number } {
    const sql = "SELECT blocks, bytes FROM totals";
    return this.#db.prepare<[], { blocks: number; bytes: number }>(sql).get() ?? { blocks: 0, bytes: 0 };
  }

  /** Throws an `isUnreadable` error if the file itself is damaged; does not compare it with the packs. */
  check(): void {
    const found = this.#db.pragma("quick_check(1)", { simple: true });
    if (found !== "ok") throw new Database.SqliteError(String(found), "SQLITE_CORRUPT");
  }

  close(): void {
    this.#db.close();
  }

  #create(): void {
    const version = this.#db.pragma("user_version", { simple: true });
    if (version === VERSION) return;
    if (version !== 0) throw new Database.SqliteError("the block index has another version", "SQLITE_NOTADB");
    this.#db.exec(SCHEMA);
  }
}

function usedBytesOf({ blocks, bytes }: { readonly blocks: number; readonly bytes: number }): number {
  return bytes + blocks * BLOCK_OVERHEAD_BYTES;
}

/** An empty index for one use, in a file that is removed with it. */
export function temporaryIndex(): BlockIndex {
  return new BlockIndex("");
}

/** Opens an index; an unreadable one is replaced by an empty one. */
export function openIndex(path: string, databases: Databases = systemDatabases): BlockIndex {
  try {
    return new BlockIndex(path, databases);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    databases.remove(path);
    return new BlockIndex(path, databases);
  }
}

/** Whether the error means that there was no space to change the index. */
export function isIndexFull(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith("SQLITE_FULL");
}

/** Whether the error means that the index's file is unusable. Result codes: https://www.sqlite.org/rescode.html */
export function isUnreadable(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB|ERROR)/.test(error.code);
}
