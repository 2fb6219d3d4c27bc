/**
 * Roots in the table `bucket_roots`, which other software writes, too. One statement decides; which one depends on what is
 * expected (create, or replace). With an era, it also locks the owner's row: a collection that condemns packs waits for the
 * swap, or the swap sees the new era.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { parseCid } from "../../format/blocks/cid.ts";
import {
  type BucketName,
  type CheckAgain,
  type Root,
  type RootRow,
  type RootTable,
  type SwapOutcome,
  unlessCorrupt,
} from "../../roots/root-store.ts";
import type { Database } from "./database.ts";
import { StatementFailed } from "./statement-failed.ts";

interface TableRow extends Record<string, unknown> {
  readonly bucket: string;
  readonly root_cid: string;
  readonly version: string;
  readonly updated_at: string;
}

/** Null where there is no such row. */
type FoundRow = Record<"root_cid", string | null> & Pick<TableRow, "version">;

interface Swapped extends Record<string, unknown> {
  readonly version: string | null;
  readonly era: string | null;
}

const COLUMNS = `bucket, root_cid, version::text,
  to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at`;

const OWNER = "o AS MATERIALIZED (SELECT era FROM syncline_owners WHERE owner_id = $1 FOR SHARE)";
const IN_ERA = "($4::bigint IS NULL OR coalesce((SELECT era FROM o), 1) = $4)";
const TOLD = `
  SELECT (SELECT version FROM s)::text AS version, (SELECT era FROM o)::text AS era`;

const CREATE = `
  WITH ${OWNER}, s AS (
    INSERT INTO bucket_roots (owner_id, bucket, root_cid) SELECT $1, $2, $3 WHERE ${IN_ERA}
    ON CONFLICT DO NOTHING RETURNING version)
  ${TOLD}`;

const REPLACE = `
  WITH ${OWNER}, s AS (
    UPDATE bucket_roots SET root_cid = $3, version = version + 1, updated_at = CURRENT_TIMESTAMP
    WHERE owner_id = $1 AND bucket = $2 AND root_cid = $5 AND ${IN_ERA} RETURNING version)
  ${TOLD}`;

export class PostgresRoots implements RootTable {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async get(name: BucketName): Promise<Root | undefined> {
    const row = await this.row(name);
    return row && { commit: row.commit, version: row.version };
  }

  async getMany(names: readonly BucketName[]): Promise<(Root | undefined)[]> {
    const sql = `
      SELECT root_cid, version::text FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (owner_id, bucket, at)
      LEFT JOIN bucket_roots USING (owner_id, bucket) ORDER BY n.at`;
    const values = [names.map(({ owner }) => owner), names.map(({ bucket }) => bucket)];
    const rows = await this.#database.query<FoundRow>(sql, values);
    return rows.map(({ root_cid: cid, version }) =>
      cid === null ? undefined : unlessCorrupt(() => rootOf({ root_cid: cid, version })),
    );
  }

  async row({ owner, bucket }: BucketName): Promise<RootRow | undefined> {
    const sql = `SELECT ${COLUMNS} FROM bucket_roots WHERE owner_id = $1 AND bucket = $2`;
    const [row] = await this.#database.query<TableRow>(sql, [owner, bucket]);
    return row && rowOf(row);
  }

  async list(owner: string, after: string, limit: number): Promise<RootRow[]> {
    // By bytes, as everywhere: the order must not depend on the database's language.
    const sql = `
      SELECT ${COLUMNS} FROM bucket_roots WHERE owner_id = $1 AND bucket COLLATE "C" > $2
      ORDER BY bucket COLLATE "C" LIMIT $3`;
    return (await this.#database.query<TableRow>(sql, [owner, after, limit])).map(rowOf);
  }

  async swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    const { outcome } = await this.#swap(name, expected, next, null);
    return outcome ?? { kind: "conflict", current: await this.get(name) };
  }

  async swapInEra(
    name: BucketName,
    expected: Cid | undefined,
    next: Cid,
    era: number,
  ): Promise<SwapOutcome | CheckAgain> {
    const { outcome, era: now } = await this.#swap(name, expected, next, era);
    if (outcome !== undefined) return outcome;
    return now === era ? { kind: "conflict", current: await this.get(name) } : { kind: "check again" };
  }

  /** Not part of the swap, since commits of transactions that notify wait for one another. */
  #tell({ owner, bucket }: BucketName): void {
    const notify = "SELECT pg_notify('syncline_roots', $1 || '/' || $2)";
    // Only a hint: watchers also poll.
    this.#database.query(notify, [owner, bucket], "notify").catch(() => {});
  }

  /** An undefined outcome means that nothing changed. */
  async #swap(name: BucketName, expected: Cid | undefined, next: Cid, era: number | null) {
    const values = [name.owner, name.bucket, next, era, ...(expected === undefined ? [] : [expected])];
    try {
      const sql = expected === undefined ? CREATE : REPLACE;
      const [row] = await this.#database.query<Swapped>(sql, values, expected === undefined ? "create" : "replace");
      const version = row?.version ?? undefined;
      const outcome: SwapOutcome | undefined =
        version === undefined ? undefined : { kind: "committed", root: { commit: next, version: Number(version) } };
      if (outcome !== undefined) this.#tell(name);
      return { outcome, era: Number(row?.era ?? 1) };
    } catch (cause) {
      if (!(cause instanceof StatementFailed) || cause.unchanged) throw cause;
      return { outcome: { kind: "unknown", cause } satisfies SwapOutcome, era: undefined };
    }
  }
}

function rowOf({ bucket, updated_at: updatedAt, ...root }: TableRow): RootRow {
  return { bucket, updatedAt, ...rootOf(root) };
}

function rootOf({ root_cid: cid, version }: Pick<TableRow, "root_cid" | "version">): Root {
  try {
    return { commit: parseCid(cid), version: Number(version) };
  } catch (cause) {
    throw new SynclineError("store_corrupt", `The table of roots holds ${JSON.stringify(cid)}, which is not a CID.`, {
      hint: "Restore a copy of the row, or put the bucket's newest root back: see `syncline rescue --help`.",
      cause,
    });
  }
}
