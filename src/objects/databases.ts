/** Where SQLite's databases of a master lie: a port, so that a simulation keeps them in memory, and loses what power loss takes. */
import { existsSync, rmSync } from "node:fs";
import Database from "better-sqlite3";
import { takeProcessLock } from "./process-lock.ts";

export interface Databases {
  /** Opens one, or makes an empty one; "": one for this use only. Throws SQLite's errors. */
  open(path: string, options?: Database.Options): Database.Database;
  exists(path: string): boolean;
  /** With all that SQLite keeps beside it. */
  remove(path: string): void;
  /** As takeProcessLock. */
  readonly lock: typeof takeProcessLock;
}

export const systemDatabases: Databases = {
  open: (path, options) => new Database(path, options),
  exists: existsSync,
  remove: (path) => {
    for (const ending of ["", "-wal", "-shm"]) rmSync(path + ending, { force: true });
  },
  lock: takeProcessLock,
};
