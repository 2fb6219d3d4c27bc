/**
 * The roots that an owner's index has seen, independent of the table of roots. A collection deletes what roots do not
 * reach, so it must notice a table that was lost or replaced by an older copy.
 *
 * A root is recorded after its swap, and again before a collection deletes anything. So the index may lag behind the table,
 * as after a kill; it is ahead only if the table went back.
 */
import type Database from "better-sqlite3";
import type { Cid } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { Root, RootRow } from "../../roots/root-store.ts";

export interface KnownRoot extends Root {
  readonly bucket: string;
  /** A swap was based on an older root, so a version greater than this one's proves nothing. */
  readonly passedOver: boolean;
}

type NamedRoot = Pick<RootRow, "bucket" | "commit" | "version">;

/** Known roots that the table is missing or has older: `rows` must be read after `known`. */
export function rolledBack(known: readonly KnownRoot[], rows: readonly NamedRoot[]): KnownRoot[] {
  const now = new Map(rows.map((row) => [row.bucket, row]));
  return known.filter(({ bucket, commit, version, passedOver }) => {
    const row = now.get(bucket);
    if (row === undefined || row.version < version) return true;
    return row.version > version ? passedOver : row.commit !== commit;
  });
}

export class KnownRoots {
  readonly #db: Database.Database;

  /** Adds its table to an index of an older version; on a full disk this is postponed. */
  constructor(db: Database.Database) {
    this.#db = db;
    try {
      if (!this.#isThere) db.exec(SCHEMA);
    } catch (error) {
      if (!failedWith(error, "SQLITE_FULL")) throw error;
    }
  }

  list(): KnownRoot[] {
    return this.#read("bucket IS NOT ?", null);
  }

  #read(where: string, value: string | null): KnownRoot[] {
    if (!this.#isThere) return [];
    const sql = `SELECT bucket, root, version, passed_over FROM known_roots WHERE ${where}`;
    return this.#db
      .prepare<[string | null], Row>(sql)
      .all(value)
      .map(({ bucket, root, version, passed_over: over }) => {
        return { bucket, commit: root as Cid, version, passedOver: over === 1 };
      });
  }

  /** Records a swap. False: newer roots of the bucket were known. Throws SQLite's errors. */
  swapped({ bucket, commit, version }: NamedRoot): boolean {
    const known = this.#read("bucket = ?", bucket);
    if (rolledBack(known, [{ bucket, commit, version }]).length === 0) {
      this.advance([{ bucket, commit, version }]);
      return true;
    }
    this.#passOver(bucket);
    return false;
  }

  /** Records these roots; those older than known ones are ignored. Throws SQLite's errors. */
  advance(roots: readonly NamedRoot[]): void {
    this.#write(roots, ADVANCE);
  }

  /** Replaces everything known with these roots. Throws SQLite's errors. */
  accept(roots: readonly NamedRoot[]): void {
    this.#write(roots, ADVANCE, "DELETE FROM known_roots");
  }

  /** Takes over what a replaced index knew. Throws SQLite's errors. */
  restore(known: readonly KnownRoot[]): void {
    this.advance(known);
    for (const { bucket, passedOver } of known) if (passedOver) this.#passOver(bucket);
  }

  #passOver(bucket: string): void {
    this.#db.prepare("UPDATE known_roots SET passed_over = 1 WHERE bucket = ?").run(bucket);
  }

  get #isThere(): boolean {
    return this.#db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'known_roots'").get() !== undefined;
  }

  #write(roots: readonly NamedRoot[], sql: string, before?: string): void {
    this.#db
      .transaction(() => {
        this.#db.exec(SCHEMA);
        if (before !== undefined) this.#db.exec(before);
        const put = this.#db.prepare<[Record<string, string | number>]>(sql);
        for (const { bucket, commit, version } of roots) put.run({ bucket, root: commit, version });
      })
      .immediate();
  }
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS known_roots (
    bucket      TEXT PRIMARY KEY,
    root        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    passed_over INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID`;

const ADVANCE = `
  INSERT INTO known_roots (bucket, root, version) VALUES (@bucket, @root, @version)
  ON CONFLICT (bucket) DO UPDATE SET root = excluded.root, version = excluded.version, passed_over = 0
  WHERE excluded.version > version AND passed_over = 0 OR excluded.version = version AND excluded.root = root`;

interface Row {
  readonly bucket: string;
  readonly root: string;
  readonly version: number;
  readonly passed_over: 0 | 1;
}
