/**
 * What a master knows of one owner's packs, in SQLite: where each block lies, which nodes are complete, and how far it has
 * read the log. It can be rebuilt from the log and the footers of packs.
 */
import type Database from "better-sqlite3";
import { type LogEntry, PACK_STATES, type PackState } from "../../arbiter/arbiter.ts";
import { SQLITE_CACHE_KIB } from "../../base/limits.ts";
import { unlessSync } from "../../base/unless.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { Databases } from "../../objects/databases.ts";
import { BLOCK_OVERHEAD_BYTES } from "../limits.ts";
import { isUnreadable, type PackPlacement } from "../store/block-index.ts";
import { type KnownRoot, KnownRoots } from "../store/known-roots.ts";
import { openTables } from "./cache-tables.ts";

export interface CachedBlock extends PackPlacement {
  /** Whether the pack is live; else it is condemned. */
  readonly isLive: boolean;
}

/** A block or pack that could not be read is tried again after this long: a store may lose an object for a while. */
const RETRY_MS = 60_000;
/** How many packs are tried again at once. */
const RETRIED_PACKS = 64;

type LogHead = Readonly<Record<"position" | "era" | "bytes", number>>;
export type CachedPack = Pick<LogEntry, "pack" | "state" | "bytes" | "createdMs">;

export class PackCache {
  readonly roots: KnownRoots;
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement<unknown[]>>();

  /** Opens it; one of another version, or an unreadable one, is replaced. Throws SQLite's other errors. */
  static open(path: string, databases: Databases): PackCache {
    try {
      return new PackCache(path, databases);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      PackCache.replace(path, databases);
      return new PackCache(path, databases);
    }
  }

  /** Replaces the file, which must be closed, by an empty cache. Known roots are taken over if they can be read. */
  static replace(path: string, databases: Databases): void {
    const known = knownRootsIn(path, databases);
    databases.remove(path);
    const cache = new PackCache(path, databases);
    try {
      cache.roots.restore(known);
    } finally {
      cache.close();
    }
  }

  private constructor(path: string, databases: Databases) {
    this.#db = databases.open(path);
    try {
      this.#db.pragma("locking_mode = EXCLUSIVE");
      this.#db.pragma("journal_mode = WAL");
      this.#db.pragma("synchronous = NORMAL");
      this.#db.pragma(`cache_size = -${SQLITE_CACHE_KIB}`);
      openTables(this.#db);
      this.roots = new KnownRoots(this.#db);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  get usedBytes(): number {
    return this.#log().bytes;
  }

  /** How far the log was read, and the era then. */
  get position(): number {
    return this.#log().position;
  }
  get era(): number {
    return this.#log().era;
  }

  /** An undamaged copy, preferably in a live pack. */
  find(digest: Uint8Array): CachedBlock | undefined {
    const sql = `SELECT name AS pack, offset, length, state FROM blocks JOIN packs ON id = pack
      WHERE digest = ? AND damaged = 0 ORDER BY state LIMIT 1`;
    const found = this.#prepare<[Uint8Array], PackPlacement & { state: PackState }>(sql).get(digest);
    return found && { ...found, isLive: found.state === PACK_STATES.live };
  }

  pack(name: string): CachedPack | undefined {
    return this.#prepare<[string], CachedPack>(`${PACKS} WHERE name = ?`).get(name);
  }

  packs(): CachedPack[] {
    return this.#prepare<[], CachedPack>(PACKS).all();
  }

  rowsOf(name: string): PackRow[] {
    const sql = `SELECT digest, offset, length, 0 AS codec FROM blocks
      WHERE pack = (SELECT id FROM packs WHERE name = ?) ORDER BY offset`;
    return this.#prepare<[string], PackRow>(sql).all(name);
  }

  /** Adds a pack; does nothing if it is there. */
  add(pack: CachedPack, rows: Iterable<PackRow>): void {
    this.#changing(() => this.#add(pack, rows));
  }

  #add({ pack, state, bytes, createdMs }: CachedPack, rows: Iterable<PackRow>): void {
    const put = "INSERT OR IGNORE INTO packs (name, state, bytes, created_ms) VALUES (?, ?, ?, ?)";
    const { changes, lastInsertRowid: id } = this.#prepare(put).run(pack, state, bytes, createdMs);
    this.#prepare("DELETE FROM unread WHERE name = ?").run(pack);
    if (changes === 0) return;
    const isKnown = this.#prepare("SELECT 1 FROM blocks WHERE digest = ? LIMIT 1");
    const insert = this.#prepare("INSERT OR IGNORE INTO blocks (digest, pack, offset, length) VALUES (?, ?, ?, ?)");
    let fresh = 0;
    for (const { digest, offset, length } of rows) {
      if (isKnown.get(digest) === undefined) fresh += length + BLOCK_OVERHEAD_BYTES;
      insert.run(digest, id, offset, length);
    }
    this.#count(fresh);
  }

  /** Notes a pack whose footer cannot be read: its blocks are missing. Does nothing if the pack was added meanwhile. */
  addUnread({ pack, state, bytes, createdMs }: CachedPack, nowMs: number): void {
    if (this.pack(pack) !== undefined) return;
    this.#prepare("INSERT OR REPLACE INTO unread VALUES (?, ?, ?, ?, ?)").run(pack, state, bytes, createdMs, nowMs);
  }

  /** Adds an unread pack, in the state that the log has given it since. Does nothing if it is no longer unread. */
  addRead(name: string, rows: Iterable<PackRow>): void {
    this.#changing(() => {
      const unread = this.#prepare<[string], CachedPack>(`${UNREAD_PACKS} WHERE name = ?`).get(name);
      if (unread !== undefined) this.#add(unread, rows);
    });
  }

  /** Notes that an unread pack still cannot be read. */
  noteTried(name: string, nowMs: number): void {
    this.#prepare("UPDATE unread SET tried_ms = ? WHERE name = ?").run(nowMs, name);
  }

  isUnread(name: string): boolean {
    return this.#prepare("SELECT 1 FROM unread WHERE name = ?").get(name) !== undefined;
  }

  /** Some of the unread packs that are due for another try. */
  unread(nowMs: number): CachedPack[] {
    const sql = `${UNREAD_PACKS}
      WHERE abs(? - tried_ms) > ${RETRY_MS} ORDER BY state, tried_ms LIMIT ${RETRIED_PACKS}`;
    return this.#prepare<[number], CachedPack>(sql).all(nowMs);
  }

  /** Live packs that cannot be read. */
  lost(): CachedPack[] {
    return this.#prepare<[], CachedPack>(`${UNREAD_PACKS} WHERE state = ${PACK_STATES.live}`).all();
  }

  setState(name: string, state: PackState): void {
    this.#prepare("UPDATE packs SET state = ? WHERE name = ? AND state <> ?").run(state, name, state);
  }

  /** Applies changes of packs that it has. Returns the other entries, except those of packs that were given up. */
  follow(entries: readonly LogEntry[]): LogEntry[] {
    const fresh: LogEntry[] = [];
    this.#changing(() => {
      for (const entry of entries) {
        const { pack, state } = entry;
        if (state === PACK_STATES.gone) this.#drop(pack);
        else if (this.pack(pack) === undefined) fresh.push(entry);
        else this.setState(pack, state);
      }
    });
    return fresh;
  }

  /** Forgets a pack and its blocks. */
  drop(name: string): void {
    this.#changing(() => this.#drop(name));
  }

  #drop(name: string): void {
    this.#prepare("DELETE FROM unread WHERE name = ?").run(name);
    const id = this.#prepare<[string], { id: number }>("SELECT id FROM packs WHERE name = ?").get(name)?.id;
    if (id === undefined) return;
    const sum = `SELECT ifnull(sum(length + ${BLOCK_OVERHEAD_BYTES}), 0) AS bytes FROM blocks AS mine WHERE pack = ?
        AND NOT EXISTS (SELECT 1 FROM blocks AS other WHERE other.digest = mine.digest AND other.pack <> mine.pack)`;
    this.#count(-(this.#prepare<[number], { bytes: number }>(sum).get(id)?.bytes ?? 0));
    this.#prepare("DELETE FROM blocks WHERE pack = ?").run(id);
    this.#prepare("DELETE FROM packs WHERE id = ?").run(id);
  }

  /** Notes that this copy could not be read intact. */
  markDamaged(digest: Uint8Array, pack: string, nowMs: number): void {
    const isNew = this.#setDamaged(digest, pack, Math.max(1, nowMs), "damaged = 0");
    // Nodes that reach it are no longer complete, and it is unknown which they are.
    if (isNew) this.#db.exec("DELETE FROM complete");
    else this.#setDamaged(digest, pack, Math.max(1, nowMs), "damaged <> 0");
  }

  markIntact(digest: Uint8Array, pack: string): void {
    this.#setDamaged(digest, pack, 0, "damaged <> 0");
  }

  /** The damaged copies that are due for another try. */
  damaged(digest: Uint8Array, nowMs: number): CachedBlock[] {
    const sql = `SELECT name AS pack, offset, length, state FROM blocks JOIN packs ON id = pack
      WHERE digest = ? AND damaged <> 0 AND abs(? - damaged) > ${RETRY_MS} ORDER BY state`;
    const rows = this.#prepare<[Uint8Array, number], PackPlacement & { state: PackState }>(sql).all(digest, nowMs);
    return rows.map(({ state, ...place }) => Object.assign(place, { isLive: state === PACK_STATES.live }));
  }

  /** Whether a copy cannot be read intact, or a live pack that may hold one cannot be read. */
  mayHaveDamaged(digest: Uint8Array): boolean {
    const sql = `SELECT 1 FROM blocks WHERE digest = ? AND damaged <> 0
      UNION ALL SELECT 1 FROM unread WHERE state = ${PACK_STATES.live} LIMIT 1`;
    return this.#prepare(sql).get(digest) !== undefined;
  }

  #setDamaged(digest: Uint8Array, pack: string, damaged: number, where: string): boolean {
    const update = `UPDATE blocks SET damaged = ?
      WHERE digest = ? AND pack = (SELECT id FROM packs WHERE name = ?) AND ${where}`;
    return this.#prepare(update).run(damaged, digest, pack).changes > 0;
  }

  isComplete(digest: Uint8Array): boolean {
    return this.#prepare("SELECT 1 FROM complete WHERE digest = ?").get(digest) !== undefined;
  }

  markComplete(digests: Iterable<Uint8Array>): void {
    const mark = this.#prepare(
      "INSERT OR IGNORE INTO complete SELECT ? WHERE EXISTS (SELECT 1 FROM blocks WHERE digest = ?)",
    );
    this.#changing(() => {
      for (const digest of digests) mark.run(digest, digest);
    });
  }

  /** Records how far the log was read. In a new era nothing counts as complete. */
  readTo(position: number, era: number): void {
    const before = this.#log();
    // A full disk lets nothing be written.
    if (position === before.position && era === before.era) return;
    this.#changing(() => {
      if (era !== before.era) this.#db.exec("DELETE FROM complete");
      this.#prepare("UPDATE log SET position = ?, era = ?").run(position, era);
    });
  }

  /** Empties the cache, except for known roots, if it was read from another incarnation, or if `always`. Returns whether it did. */
  belongTo(incarnation: string, always = false): boolean {
    const { past } = this.#prepare<[], { past: string }>("SELECT past FROM log").get() ?? { past: "" };
    if (past === incarnation && !always) return false;
    this.#changing(() => {
      this.#db.exec("DELETE FROM complete; DELETE FROM blocks; DELETE FROM packs; DELETE FROM unread");
      this.#prepare("UPDATE log SET position = 0, era = 0, bytes = 0, past = ?").run(incarnation);
    });
    return true;
  }

  close(): void {
    this.#db.close();
  }

  #log(): LogHead {
    return (
      this.#prepare<[], LogHead>("SELECT position, era, bytes FROM log").get() ?? { position: 0, era: 0, bytes: 0 }
    );
  }

  #count(bytes: number): void {
    this.#prepare("UPDATE log SET bytes = bytes + ?").run(bytes);
  }

  /** Prepares each statement once. */
  #prepare<Bind extends unknown[] = unknown[], Row = unknown>(sql: string): Database.Statement<Bind, Row> {
    const prepared = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared as Database.Statement<Bind, Row>;
  }

  #changing(work: () => void): void {
    this.#db.transaction(work).immediate();
  }
}

function knownRootsIn(path: string, databases: Databases): KnownRoot[] {
  const read = () => {
    const db = databases.open(path);
    try {
      return new KnownRoots(db).list();
    } finally {
      db.close();
    }
  };
  return unlessSync(isUnreadable, read, []);
}

const UNREAD_PACKS = "SELECT name AS pack, state, bytes, created_ms AS createdMs FROM unread";
const PACKS = "SELECT name AS pack, state, bytes, created_ms AS createdMs FROM packs";
