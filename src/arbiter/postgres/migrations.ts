/**
 * The arbiter's tables: ordered steps, each safe to repeat, each with a way back that refuses while the table is in use.
 *
 * `bucket_roots` is shared with other software, so it stays exactly as it is here.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Database } from "./database.ts";
import { StatementFailed } from "./statement-failed.ts";

interface Migration {
  readonly name: string;
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** Whether somebody uses it: a query with one boolean. Such a step is not taken back. */
  readonly inUse: string;
}

const MASTERS_RUN = "EXISTS (SELECT 1 FROM syncline_masters WHERE seen_at > now() - interval '5 minutes')";
const PAST_IN_USE = `SELECT EXISTS (SELECT 1 FROM syncline_past) OR ${MASTERS_RUN} AS used`;

const MIGRATIONS: readonly Migration[] = [
  {
    name: "bucket_roots",
    up: [
      `CREATE TABLE IF NOT EXISTS bucket_roots (
         owner_id TEXT, bucket TEXT, root_cid TEXT NOT NULL, version BIGINT NOT NULL DEFAULT 1,
         updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (owner_id, bucket))`,
    ],
    down: ["DROP TABLE IF EXISTS bucket_roots"],
    inUse: "SELECT EXISTS (SELECT 1 FROM bucket_roots) AS used",
  },
  {
    name: "packs",
    up: [
      `CREATE TABLE IF NOT EXISTS syncline_owners (
         owner_id TEXT PRIMARY KEY, era BIGINT NOT NULL DEFAULT 1, position BIGINT NOT NULL DEFAULT 0)`,
      `CREATE TABLE IF NOT EXISTS syncline_packs (
         owner_id TEXT, pack TEXT, bytes BIGINT NOT NULL, rows INTEGER NOT NULL, state SMALLINT NOT NULL,
         position BIGINT NOT NULL, era BIGINT NOT NULL, created_at TIMESTAMPTZ NOT NULL, changed_at TIMESTAMPTZ NOT NULL,
         PRIMARY KEY (owner_id, pack))`,
      "CREATE INDEX IF NOT EXISTS syncline_packs_position ON syncline_packs (owner_id, position)",
    ],
    down: ["DROP TABLE IF EXISTS syncline_packs", "DROP TABLE IF EXISTS syncline_owners"],
    inUse: "SELECT EXISTS (SELECT 1 FROM syncline_packs) AS used",
  },
  {
    name: "revoked",
    up: ["CREATE TABLE IF NOT EXISTS syncline_revoked (digest TEXT PRIMARY KEY, exp BIGINT NOT NULL)"],
    down: ["DROP TABLE IF EXISTS syncline_revoked"],
    inUse: "SELECT EXISTS (SELECT 1 FROM syncline_revoked WHERE exp > extract(epoch FROM now())) AS used",
  },
  {
    name: "masters",
    up: [
      `CREATE TABLE IF NOT EXISTS syncline_masters (
         id TEXT PRIMARY KEY, origin TEXT NOT NULL, cas BOOLEAN NOT NULL, version TEXT NOT NULL,
         seen_at TIMESTAMPTZ NOT NULL)`,
    ],
    down: ["DROP TABLE IF EXISTS syncline_masters"],
    inUse: `SELECT ${MASTERS_RUN} AS used`,
  },
  {
    name: "past",
    up: [
      `CREATE TABLE IF NOT EXISTS syncline_past (
         one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one), beats BIGINT NOT NULL, generation TEXT)`,
    ],
    down: ["DROP TABLE IF EXISTS syncline_past"],
    inUse: PAST_IN_USE,
  },
  {
    name: "store",
    up: [
      `ALTER TABLE syncline_past ADD COLUMN IF NOT EXISTS store TEXT,
         ADD COLUMN IF NOT EXISTS told BIGINT NOT NULL DEFAULT 0`,
    ],
    down: ["ALTER TABLE syncline_past DROP COLUMN IF EXISTS store, DROP COLUMN IF EXISTS told"],
    inUse: PAST_IN_USE,
  },
];

const MARKER = `CREATE TABLE IF NOT EXISTS syncline_migrations (
  step INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())`;

export interface MigrationState {
  readonly step: number;
  readonly name: string;
  readonly applied: boolean;
}

export async function migrationStates(database: Database): Promise<MigrationState[]> {
  const [found] = await database.query<{ there: boolean }>(
    "SELECT to_regclass('syncline_migrations') IS NOT NULL AS there",
  );
  const rows =
    found?.there === true ? await database.query<{ step: number }>("SELECT step FROM syncline_migrations") : [];
  const applied = new Set(rows.map(({ step }) => step));
  return MIGRATIONS.map(({ name }, index) => ({ step: index + 1, name, applied: applied.has(index + 1) }));
}

/** Applies what is missing, in order. Returns the names. Stops at the first failure: what was applied before stays. */
export async function migrateUp(database: Database): Promise<string[]> {
  await database.query(MARKER);
  const done: string[] = [];
  for (const { step, name, applied } of await migrationStates(database)) {
    if (applied) continue;
    for (const sql of MIGRATIONS[step - 1]?.up ?? []) await running(name, () => database.query(sql));
    const mark = "INSERT INTO syncline_migrations (step, name) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    await database.query(mark, [step, name]);
    done.push(name);
  }
  return done;
}

/** Takes back everything, the newest step first. Throws `precondition_failed` at a step that is in use. */
export async function migrateDown(database: Database): Promise<string[]> {
  const done: string[] = [];
  for (const { step, name, applied } of (await migrationStates(database)).toReversed()) {
    const migration = MIGRATIONS[step - 1];
    if (!applied || migration === undefined) continue;
    const [row] = await database.query<{ used: boolean }>(migration.inUse);
    if (row?.used === true) {
      throw new SynclineError("precondition_failed", `The table of step ${step} (${name}) is in use, so it stays.`, {
        hint: "Stop all masters and wait five minutes. Tables with rows are never dropped: delete the rows first.",
      });
    }
    for (const sql of migration.down) await running(name, () => database.query(sql));
    await database.query("DELETE FROM syncline_migrations WHERE step = $1", [step]);
    done.push(name);
  }
  return done;
}

async function running(name: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!(cause instanceof StatementFailed) || !cause.unchanged) throw cause;
    const again = "run it again: it goes on from there.";
    const hint = cause.ending === cause.code ? `Mend what it names, then ${again}` : `${cause.hint} Then ${again}`;
    throw new SynclineError(cause.ending, `Step ${name} failed, and nothing after it ran: ${cause.message}`, {
      hint,
      cause,
    });
  }
}
