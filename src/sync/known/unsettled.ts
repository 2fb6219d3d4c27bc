/** The database's list of places where the folder is behind its base. */
import type Database from "better-sqlite3";
import type { FileId } from "../../base/ids.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { nameBytes, nameOf } from "./entry.ts";

/**
 * Why a place is behind. Reasons that only a person can settle are not retried in each pass. A name that collides waits
 * until another one leaves its directory.
 */
export type Reason = "waiting" | "changed here" | "ignored" | "name collides" | "not kept here" | "in the way";

/** Places behind for one of these reasons are retried in each pass. */
export const PASSING: ReadonlySet<Reason> = new Set<Reason>(["waiting", "changed here", "in the way"]);

/** Places behind for one of these reasons stay so until the folder or the bucket changes: each pass reports them. */
export const STUCK: ReadonlySet<string> = new Set<Reason>(["name collides", "not kept here"]);

export interface UnsettledPlace extends Place {
  readonly reason: Reason;
}

/** With its position in the order of noting. */
export interface UnsettledRow extends UnsettledPlace {
  readonly row: number;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS unsettled (
    parent TEXT NOT NULL,
    name   BLOB NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (parent, name)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS collided ON unsettled (parent) WHERE reason = 'name collides'`;

interface Raw {
  readonly row: number;
  readonly parent: string;
  readonly name: Buffer;
  readonly reason: string;
}

export class UnsettledPlaces {
  readonly #unsettle: Database.Statement;
  readonly #reason: Database.Statement<[string, Buffer], { reason: string }>;
  readonly #retry: Database.Statement;
  readonly #settle: Database.Statement;
  readonly #all: Database.Statement<[], Raw>;
  readonly #for: Database.Statement<[Reason], Raw>;
  readonly #from: Database.Statement<[number, number, number], Raw>;
  readonly #count: Database.Statement<[], { n: number }>;
  readonly #last: Database.Statement<[], { n: number | null }>;

  constructor(db: Database.Database) {
    db.exec(SCHEMA);
    const columns = "rowid AS row, parent, name, reason";
    this.#unsettle = db.prepare("INSERT OR REPLACE INTO unsettled (parent, name, reason) VALUES (?, ?, ?)");
    this.#reason = db.prepare("SELECT reason FROM unsettled WHERE parent = ? AND name = ?");
    this.#retry = db.prepare("UPDATE unsettled SET reason = 'waiting' WHERE parent = ? AND reason = 'name collides'");
    this.#settle = db.prepare("DELETE FROM unsettled WHERE parent = ? AND name = ?");
    this.#all = db.prepare(`SELECT ${columns} FROM unsettled ORDER BY parent, name`);
    this.#for = db.prepare(`SELECT ${columns} FROM unsettled WHERE reason = ? ORDER BY parent, name`);
    this.#from = db.prepare(`SELECT ${columns} FROM unsettled WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?`);
    this.#count = db.prepare("SELECT COUNT(*) AS n FROM unsettled WHERE reason = 'waiting'");
    this.#last = db.prepare("SELECT MAX(rowid) AS n FROM unsettled");
  }

  unsettle({ parent, name }: Place, reason: Reason = "waiting"): void {
    this.#unsettle.run(parent, nameBytes(name), reason);
  }

  settle({ parent, name }: Place): void {
    this.#settle.run(parent, nameBytes(name));
  }

  reasonAt({ parent, name }: Place): Reason | undefined {
    return this.#reason.get(parent, nameBytes(name))?.reason as Reason | undefined;
  }

  /** A name left this directory: those that collided with it are tried again. */
  retryCollided(parent: FileId): void {
    this.#retry.run(parent);
  }

  /** By parent and name. */
  all(): UnsettledPlace[] {
    return this.#all.all().map(unsettledOf);
  }

  /** The places with this reason. Loads no others: there may be very many. */
  for(reason: Reason): UnsettledPlace[] {
    return this.#for.all(reason).map(unsettledOf);
  }

  /** In the order of noting: at most `most` after a row, up to another. */
  from(after: number, upTo: number, most: number): UnsettledRow[] {
    return this.#from.all(after, upTo, most).map(unsettledOf);
  }

  /** How many places are behind only because no pass came to them. */
  countWaiting(): number {
    return this.#count.get()?.n ?? 0;
  }

  /** The row noted last; 0 if there is none. */
  lastRow(): number {
    return this.#last.get()?.n ?? 0;
  }
}

function unsettledOf({ row, parent, name, reason }: Raw): UnsettledRow {
  return { row, parent: parent as FileId, name: nameOf(name), reason: reason as Reason };
}
