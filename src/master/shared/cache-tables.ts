/** The tables of a cache of packs. */
import Database from "better-sqlite3";
import { BLOCK_OVERHEAD_BYTES } from "../limits.ts";

const VERSION = 3;
const UNREAD = `
  CREATE TABLE unread (
    name       TEXT PRIMARY KEY,
    state      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    tried_ms   INTEGER NOT NULL -- the last try to read its footer, in ms since 1970
  ) STRICT, WITHOUT ROWID;`;
const SCHEMA = `
  CREATE TABLE packs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    state      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE blocks (
    digest  BLOB NOT NULL,
    pack    INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    length  INTEGER NOT NULL,
    damaged INTEGER NOT NULL DEFAULT 0, -- the last failed try to read it, in ms since 1970; 0: it is intact
    PRIMARY KEY (digest, pack)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blocks_of_pack ON blocks (pack);
  CREATE TABLE complete (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE log (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL,
    era      INTEGER NOT NULL,
    bytes    INTEGER NOT NULL, -- OwnerBlocks.usedBytes
    past     TEXT NOT NULL     -- the arbiter's incarnation
  ) STRICT;
  INSERT INTO log VALUES (1, 0, 0, 0, '');
  ${UNREAD}
  PRAGMA user_version = ${VERSION};`;

/** Creates or upgrades them. Throws SQLite's errors; `SQLITE_NOTADB` for a cache of another version. */
export function openTables(db: Database.Database): void {
  const version = db.pragma("user_version", { simple: true });
  if (version === 0) db.exec(SCHEMA);
  else if (version === 1 || version === 2) upgrade(db, version);
  else if (version !== VERSION) throw new Database.SqliteError("the cache has another version", "SQLITE_NOTADB");
}

/** Version 1 did not count the overhead of blocks, version 2 forgot unread packs: the log is read anew. */
function upgrade(db: Database.Database, version: 1 | 2): void {
  const blocks = "(SELECT count(DISTINCT digest) FROM blocks)";
  db.transaction(() => {
    if (version === 1) db.exec(`UPDATE log SET bytes = bytes + ${BLOCK_OVERHEAD_BYTES} * ${blocks}`);
    db.exec(`${UNREAD} UPDATE log SET position = 0; PRAGMA user_version = ${VERSION}`);
  }).immediate();
}
