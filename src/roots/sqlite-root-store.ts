/**
 * The embedded arbiter: SQLite in WAL mode, meant for one writing process.
 *
 * The swap is one statement, so no transaction spans a decision. `synchronous = FULL` makes "committed" mean that it survives
 * power loss. Several writing processes are safe but starve one another; they talk to a master instead.
 */
import Database from "better-sqlite3";
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { parseCid } from "../format/blocks/cid.ts";
import { type Databases, systemDatabases } from "../objects/databases.ts";
import {
  type BucketName,
  type Root,
  type RootRow,
  type RootTable,
  type SwapOutcome,
  unlessCorrupt,
} from "./root-store.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS bucket_roots (
    owner_id   TEXT NOT NULL,
    bucket     TEXT NOT NULL,
    root_cid   TEXT NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (owner_id, bucket)
  ) STRICT, WITHOUT ROWID`;

const SWAP = `
  UPDATE bucket_roots SET root_cid = @next, version = version + 1, updated_at = CURRENT_TIMESTAMP
  WHERE owner_id = @owner AND bucket = @bucket AND root_cid = @expected
  RETURNING root_cid, version`;

const CREATE = `
  INSERT INTO bucket_roots (owner_id, bucket, root_cid) VALUES (@owner, @bucket, @next)
  ON CONFLICT (owner_id, bucket) DO NOTHING
  RETURNING root_cid, version`;

/** How long a statement waits for another process's lock. */
const BUSY_MS = 15_000;

const LIST = `
  SELECT bucket, root_cid, version, updated_at FROM bucket_roots
  WHERE owner_id = @owner AND bucket > @after ORDER BY bucket LIMIT @limit`;

interface Row {
  root_cid: string;
  version: number;
}

interface ListedRow extends Row {
  bucket: string;
  updated_at: string;
}

export class SqliteRootStore implements RootTable, Disposable {
  readonly #db: Database.Database;
  readonly #read: Database.Statement<[string, string], ListedRow>;
  readonly #list: Database.Statement<[Record<string, string | number>], ListedRow>;
  readonly #all: Database.Statement<[], Row & { owner_id: string; bucket: string }>;
  readonly #swap: Database.Statement<[Record<string, string>], Row>;
  readonly #create: Database.Statement<[Record<string, string>], Row>;

  /** A path, or an open database that others use, too. */
  constructor(at: string | Database.Database, databases: Databases = systemDatabases) {
    this.#db = typeof at === "string" ? databases.open(at, { timeout: BUSY_MS }) : at;
    this.#db.pragma("journal_mode = WAL");
    this.#db.pragma("synchronous = FULL");
    this.#db.exec(SCHEMA);
    this.#read = this.#db.prepare(
      "SELECT bucket, root_cid, version, updated_at FROM bucket_roots WHERE owner_id = ? AND bucket = ?",
    );
    this.#list = this.#db.prepare(LIST);
    this.#all = this.#db.prepare(
      "SELECT owner_id, bucket, root_cid, version FROM bucket_roots ORDER BY owner_id, bucket",
    );
    this.#swap = this.#db.prepare(SWAP);
    this.#create = this.#db.prepare(CREATE);
  }

  async get(name: BucketName): Promise<Root | undefined> {
    const row = this.#reading(() => this.#read.get(name.owner, name.bucket));
    return row && rootOf(row);
  }

  async getMany(names: readonly BucketName[]): Promise<(Root | undefined)[]> {
    const rows = this.#reading(() => names.map(({ owner, bucket }) => this.#read.get(owner, bucket)));
    return rows.map((row) => row && unlessCorrupt(() => rootOf(row)));
  }

  async row(name: BucketName): Promise<RootRow | undefined> {
    const row = this.#reading(() => this.#read.get(name.owner, name.bucket));
    return row && listedOf(row);
  }

  async list(owner: string, after: string, limit: number): Promise<RootRow[]> {
    return this.#reading(() => this.#list.all({ owner, after, limit })).map(listedOf);
  }

  async swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    const { owner, bucket } = name;
    let row: Row | undefined;
    try {
      row =
        expected === undefined
          ? this.#create.get({ owner, bucket, next })
          : this.#swap.get({ owner, bucket, expected, next });
    } catch (cause) {
      // A statement that could not start, or was rolled back for lack of space, changed nothing; any other may be on disk.
      if (changedNothing(cause)) throw asArbiterError(cause);
      return { kind: "unknown", cause };
    }
    return row ? { kind: "committed", root: rootOf(row) } : { kind: "conflict", current: await this.get(name) };
  }

  /** The blocks' collections wait for swaps themselves: there are no eras. */
  swapInEra(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    return this.swap(name, expected, next);
  }

  /** All buckets, by owner and name. Throws `store_corrupt` for a row without a valid CID, `arbiter_unreachable`. */
  all(): { name: BucketName; root: Root }[] {
    const rows = this.#reading(() => this.#all.all());
    return rows.map((row) => ({ name: { owner: row.owner_id, bucket: row.bucket }, root: rootOf(row) }));
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  #reading<Result>(read: () => Result): Result {
    try {
      return read();
    } catch (cause) {
      throw asArbiterError(cause);
    }
  }
}

/** SQLite writes times as "2026-01-31 12:00:00", in UTC. */
function listedOf(row: ListedRow): RootRow {
  return { ...rootOf(row), bucket: row.bucket, updatedAt: `${row.updated_at.replace(" ", "T")}Z` };
}

function rootOf(row: Row): Root {
  try {
    return { commit: parseCid(row.root_cid), version: row.version };
  } catch (cause) {
    throw new SynclineError(
      "store_corrupt",
      `The table of roots holds ${JSON.stringify(row.root_cid)}, which is not a CID.`,
      { hint: "Restore a copy of the table, or publish the bucket again: its root is recorded nowhere else.", cause },
    );
  }
}

/** Result codes: https://www.sqlite.org/rescode.html */
function changedNothing(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(BUSY|FULL|READONLY|LOCKED)/.test(error.code);
}

function asArbiterError(cause: unknown): unknown {
  if (!(cause instanceof Database.SqliteError)) return cause;
  if (cause.code.startsWith("SQLITE_FULL")) {
    return new SynclineError("disk_full", "No space left for the table of roots.", {
      hint: "Free some space. The swap changed nothing.",
      cause,
    });
  }
  return new SynclineError("arbiter_unreachable", `Cannot use the table of roots: ${cause.message}.`, { cause });
}
