/** Loads SQLite when it is first needed: that takes 8 ms, and most commands open no database. */
import { createRequire } from "node:module";
import type Database from "better-sqlite3";

const require = createRequire(import.meta.url);

/** Its module, which is the class of databases. */
export function sqlite(): typeof Database {
  return require("better-sqlite3") as typeof Database;
}

/** Opens a database, or makes an empty one; "" is temporary. Throws SQLite's errors. */
export function openSqlite(path: string, options?: Database.Options): Database.Database {
  return new (sqlite())(path, options);
}
