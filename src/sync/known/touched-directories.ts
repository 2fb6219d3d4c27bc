/**
 * Directories in whose entries a sync pass changed something: their times are to be set again. The list outlives a killed
 * pass, since a later one would not know that the times are wrong.
 */
import type Database from "better-sqlite3";
import type { FileId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { PARKED_ID } from "../disk/paths.ts";

const SCHEMA = "CREATE TABLE IF NOT EXISTS touched (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID";

export class TouchedDirectories {
  readonly #add: Database.Statement<[string]>;
  readonly #all: Database.Statement<[], string>;
  readonly #succeed: Database.Statement<[string, string]>;
  readonly #clear: Database.Statement;

  constructor(db: Database.Database) {
    db.exec(SCHEMA);
    this.#add = db.prepare("INSERT OR IGNORE INTO touched (id) VALUES (?)");
    this.#all = db.prepare<[], string>("SELECT id FROM touched").pluck();
    this.#succeed = db.prepare("UPDATE OR REPLACE touched SET id = ? WHERE id = ?");
    this.#clear = db.prepare("DELETE FROM touched");
  }

  /** Notes the directory of a place. The root directory's time is not synced. */
  add({ parent }: Place): void {
    if (parent !== ROOT_ID && parent !== PARKED_ID) this.#add.run(parent);
  }

  all(): FileId[] {
    return this.#all.all() as FileId[];
  }

  succeed(before: FileId, after: FileId): void {
    this.#succeed.run(after, before);
  }

  clear(): void {
    this.#clear.run();
  }
}
