/**
 * The overlay's tables in SQLite, WAL mode, synchronous NORMAL: a commit is atomic at once, and survives power loss after
 * `sync`, which syncs the WAL off the main path. Only one process uses them.
 *
 * SQLite must not copy the WAL into the database by itself: it hides failed syncs, and then overwrites a WAL with a gap.
 */
import { closeSync, existsSync, fdatasync, fsync, openSync, readSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type Database from "better-sqlite3";
import { SQLITE_CACHE_KIB, TABLES_LOG_BYTES, TABLES_LOG_ROWS } from "../../base/limits.ts";
import type { FileId, FileName, Ino } from "../../base/ids.ts";
import { TYPE_CODES } from "../../format/files/keys.ts";
import type { FileType } from "../../format/files/record.ts";
import { corruptState, ID_BYTES } from "../data/bytes.ts";
import { openSqlite } from "../../objects/sqlite.ts";
import { attempt } from "./storage-error.ts";
import { syncPath } from "./sync-path.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { NO_CHANGE } from "./storage.ts";
import type { InodeRow, ObjectRow, PlacedNumber, StateTables, TableChange } from "./storage.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS inodes (
    ino    INTEGER PRIMARY KEY,
    id     BLOB NOT NULL,
    type   INTEGER NOT NULL,
    parent BLOB NOT NULL,
    name   BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX IF NOT EXISTS inodes_by_id ON inodes (id);
  CREATE TABLE IF NOT EXISTS objects (ino INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS sealed (ino INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), bytes BLOB NOT NULL) STRICT`;

interface RawInode {
  ino: number;
  id: Buffer;
  type: number;
  parent: Buffer;
  name: Buffer;
}

type Bytes = { bytes: Buffer };

const TYPES = new Map(Object.entries(TYPE_CODES).map(([type, code]) => [code, type as FileType]));
const fsyncAsync = promisify(fsync);
const fdatasyncAsync = promisify(fdatasync);

export class SqliteTables implements StateTables {
  readonly #path: string;
  readonly #db: Database.Database;
  readonly #byIno: Database.Statement<[number], RawInode>;
  readonly #byId: Database.Statement<[Buffer], RawInode>;
  readonly #placed: Database.Statement<[Buffer, Buffer, Buffer], number>;
  readonly #below: Database.Statement<[number, number], { ino: Ino }>;
  readonly #rowsBelow: Database.Statement<[number, number], RawInode>;
  readonly #changes: Database.Statement<[], { changes: number }>;
  /** How many rows were changed before the last `compact`. */
  #compacted = 0;
  /** Bytes of large values since then, and of what an earlier process left. */
  #logged: number;
  /** For use in an open transaction: a nested one would need space for temporary files. */
  readonly #write: (change: TableChange) => void;
  readonly #apply: (change: TableChange) => void;

  constructor(path: string, db: Database.Database = openSqlite(path)) {
    this.#path = path;
    this.#logged = statSync(this.#wal, { throwIfNoEntry: false })?.size ?? 0;
    this.#db = db;
    // Keeps the WAL's index in memory: as a file it would need space, and an agent on a full disk could not start.
    this.#db.pragma("locking_mode = EXCLUSIVE");
    this.#db.pragma("journal_mode = WAL");
    this.#db.pragma("synchronous = NORMAL");
    this.#db.pragma("wal_autocheckpoint = 0");
    this.#db.pragma(`cache_size = -${SQLITE_CACHE_KIB}`);
    this.#db.exec(SCHEMA);
    this.#byIno = this.#db.prepare("SELECT * FROM inodes WHERE ino = ?");
    this.#byId = this.#db.prepare("SELECT * FROM inodes WHERE id = ?");
    this.#placed = this.#db
      .prepare<[Buffer, Buffer, Buffer], number>(
        "SELECT IIF(parent = ? AND name = ?, ino, -ino) FROM inodes WHERE id = ?",
      )
      .pluck();
    this.#below = this.#db.prepare("SELECT ino FROM inodes WHERE ino < ? ORDER BY ino DESC LIMIT ?");
    this.#rowsBelow = this.#db.prepare("SELECT * FROM inodes WHERE ino < ? ORDER BY ino DESC LIMIT ?");
    this.#changes = this.#db.prepare("SELECT total_changes() AS changes");
    this.#write = this.#prepareWrite();
    this.#apply = this.#db.transaction(this.#write);
  }

  inode(ino: Ino): InodeRow | undefined {
    return rowOf(this.#byIno.get(ino));
  }

  inodeOf(id: FileId): InodeRow | undefined {
    return rowOf(this.#byId.get(hex(id)));
  }

  numberOf(id: FileId, { parent, name }: Place): PlacedNumber | undefined {
    const found = this.#placed.get(hex(parent), Buffer.from(name, "latin1"), hex(id));
    return found === undefined ? undefined : { ino: Math.abs(found) as Ino, isThere: found > 0 };
  }

  greatestIno(): number {
    return this.#db.prepare<[], { ino: number }>("SELECT COALESCE(MAX(ino), 0) AS ino FROM inodes").get()?.ino ?? 0;
  }

  inosBelow(ino: Ino, limit: number): Ino[] {
    return this.#below.all(ino, limit).map((row) => row.ino);
  }

  inodesBelow(ino: Ino, limit: number): InodeRow[] {
    return this.#rowsBelow.all(ino, limit).flatMap((raw) => rowOf(raw) ?? []);
  }

  head(): Uint8Array | undefined {
    return this.#db.prepare<[], Bytes>("SELECT bytes FROM head").get()?.bytes;
  }

  *objects(): Iterable<Uint8Array> {
    yield* this.#db.prepare<[], Buffer>("SELECT bytes FROM objects ORDER BY ino").pluck().iterate();
  }

  *sealed(): Iterable<Uint8Array> {
    yield* this.#db.prepare<[], Buffer>("SELECT bytes FROM sealed ORDER BY ino").pluck().iterate();
  }

  apply(change: TableChange): void {
    attempt(() => this.#apply(change));
  }

  async applyInPortions(
    portions: readonly Iterable<ObjectRow>[],
    rest: () => TableChange,
    between: () => Promise<void>,
  ): Promise<void> {
    attempt(() => this.#db.exec("BEGIN IMMEDIATE"));
    try {
      for (const [index, objects] of portions.entries()) {
        if (index > 0) await between();
        attempt(() => this.#write({ ...NO_CHANGE, objects }));
      }
      const change = rest();
      attempt(() => {
        this.#write(change);
        this.#db.exec("COMMIT");
      });
    } catch (error) {
      // SQLite itself may have rolled back, or the tables are closed.
      if (this.#db.open && this.#db.inTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  async sync(): Promise<void> {
    // Commits are in the WAL, or in the database, which SQLite itself syncs before it restarts the WAL.
    await syncPath(this.#wal, fdatasyncAsync);
    await syncPath(dirname(this.#path), fsyncAsync);
  }

  rewrite(): void {
    attempt(() => rewriteFile(this.#wal));
  }

  compact(): void {
    attempt(() => {
      const changes = this.#changes.get()?.changes ?? 0;
      if (changes - this.#compacted < TABLES_LOG_ROWS && this.#logged < TABLES_LOG_BYTES) return;
      // SQLite syncs the database before it reuses the WAL. After a failure it copies all of the WAL again.
      this.#db.pragma("wal_checkpoint(PASSIVE)");
      this.#compacted = changes;
      this.#logged = 0;
    });
  }

  close(): void {
    this.#db.close();
  }

  get #wal(): string {
    return `${this.#path}-wal`;
  }

  #prepareWrite(): (change: TableChange) => void {
    const putInode = this.#db.prepare(
      "INSERT OR REPLACE INTO inodes (ino, id, type, parent, name) VALUES (?, ?, ?, ?, ?)",
    );
    const removeInode = this.#db.prepare("DELETE FROM inodes WHERE ino = ?");
    const putObject = this.#db.prepare("INSERT OR REPLACE INTO objects (ino, bytes) VALUES (?, ?)");
    const removeObject = this.#db.prepare("DELETE FROM objects WHERE ino = ?");
    const clearSealed = this.#db.prepare("DELETE FROM sealed");
    const putSealed = this.#db.prepare("INSERT OR REPLACE INTO sealed (ino, bytes) VALUES (?, ?)");
    const putHead = this.#db.prepare("INSERT OR REPLACE INTO head (one, bytes) VALUES (1, ?)");
    const logged = (bytes: Uint8Array) => {
      this.#logged += bytes.length;
      return bytes;
    };
    return (change) => {
      for (const ino of change.removedInodes) removeInode.run(ino);
      for (const { ino, id, type, parent, name } of change.inodes)
        putInode.run(ino, hex(id), TYPE_CODES[type], hex(parent), Buffer.from(name, "latin1"));
      for (const [ino, bytes] of change.objects) {
        if (bytes === undefined) removeObject.run(ino);
        else putObject.run(ino, logged(bytes));
      }
      if (change.otherFlight) clearSealed.run();
      for (const [ino, bytes] of change.sealed) putSealed.run(ino, logged(bytes));
      if (change.head !== undefined) putHead.run(logged(change.head));
    };
  }
}

const REWRITE_BYTES = 1024 * 1024;

/** Writes a file's bytes over themselves, so that the next sync writes them to the disk. */
function rewriteFile(path: string): void {
  if (!existsSync(path)) return;
  const fd = openSync(path, "r+");
  try {
    const buffer = Buffer.allocUnsafe(REWRITE_BYTES);
    for (let at = 0, count = 1; count > 0; at += count) {
      count = readSync(fd, buffer, 0, buffer.length, at);
      for (let done = 0; done < count;) done += writeSync(fd, buffer, done, count - done, at + done);
    }
  } finally {
    closeSync(fd);
  }
}

function rowOf(raw: RawInode | undefined): InodeRow | undefined {
  if (raw === undefined) return undefined;
  const type = TYPES.get(raw.type);
  if (type === undefined) throw corruptState(`Inode ${raw.ino} has an unknown type.`);
  if ([raw.id, raw.parent].some(({ length }) => length !== ID_BYTES))
    throw corruptState(`Inode ${raw.ino} has an id of the wrong length.`);
  return {
    ino: raw.ino as Ino,
    id: raw.id.toString("hex") as FileId,
    type,
    parent: raw.parent.toString("hex") as FileId,
    name: raw.name.toString("latin1") as FileName,
  };
}

function hex(id: FileId): Buffer {
  return Buffer.from(id, "hex");
}
