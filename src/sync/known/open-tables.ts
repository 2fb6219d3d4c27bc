/** The tables of what was synced. */
import Database from "better-sqlite3";
import { SQLITE_CACHE_KIB } from "../../base/limits.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entries (
    parent TEXT NOT NULL,
    name   BLOB NOT NULL,
    id     TEXT NOT NULL,
    file   INTEGER NOT NULL,
    ino    TEXT NOT NULL,
    record BLOB NOT NULL,
    links  TEXT NOT NULL,
    seen   BLOB NOT NULL,
    PRIMARY KEY (parent, name)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS entries_by_id ON entries (id);
  CREATE INDEX IF NOT EXISTS entries_by_ino ON entries (ino);
  CREATE TABLE IF NOT EXISTS parked (
    id     TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    name   BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`;

/** Opens them, and makes them if necessary. */
export function openTables(at: string | Database.Database): Database.Database {
  try {
    const db = typeof at === "string" ? new Database(at) : at;
    db.pragma("journal_mode = WAL");
    // Disk and database must agree after power loss: neither may forget an action that the other has.
    db.pragma("synchronous = FULL");
    db.pragma(`cache_size = -${SQLITE_CACHE_KIB}`);
    db.exec(SCHEMA);
    return db;
  } catch (cause) {
    throw typeof at === "string" ? withPath(cause, at) : cause;
  }
}

/** SQLite's errors do not name the database: adds its path. */
export function withPath(error: unknown, path: string): unknown {
  return error instanceof Database.SqliteError ? Object.assign(error, { path }) : error;
}
