/** Where a master's SQLite databases live: a port, so that a simulation can keep them in memory and lose data. */
import { existsSync, rmSync } from "node:fs";
import type Database from "better-sqlite3";
import { takeProcessLock } from "./process-lock.ts";
import { openSqlite } from "./sqlite.ts";

export interface Databases {
  /** Opens one, or makes an empty one; "" is temporary. Throws SQLite's errors. */
  open(path: string, options?: Database.Options): Database.Database;
  exists(path: string): boolean;
  /** Removes it, with SQLite's files beside it. */
  remove(path: string): void;
  readonly lock: typeof takeProcessLock;
}

export const systemDatabases: Databases = {
  open: openSqlite,
  exists: existsSync,
  remove: (path) => {
    for (const ending of ["", "-wal", "-shm"]) rmSync(path + ending, { force: true });
  },
  lock: takeProcessLock,
};
