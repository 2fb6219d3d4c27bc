/**
 * Swaps a second: SQLite and PostgreSQL through the arbiter, beside PostgreSQL's own UPDATE through the same driver, by turns.
 *   node scripts/benches/swaps.ts [SECONDS for each turn, default 3]
 * One bucket for each writer; 1 and 8 writers. Medians of three turns.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pool } from "pg";
import { Database } from "../../src/arbiter/postgres/database.ts";
import { migrateUp } from "../../src/arbiter/postgres/migrations.ts";
import { openPostgres } from "../../src/arbiter/postgres/postgres-arbiter.ts";
import { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { Cid } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import type { RootTable } from "../../src/roots/root-store.ts";
import { PostgresServer } from "../../test/support/postgres-server.ts";

const seconds = Number(process.argv[2] ?? 3);
const folder = mkdtempSync(join(tmpdir(), "syncline-swaps-"));
const server = await PostgresServer.start(folder);
const pool = new Pool({ connectionString: server.url, max: 8 });
pool.on("error", () => {});
try {
  const database = new Database(server.url, silentLog);
  await migrateUp(database);
  const postgres = await openPostgres(server.url, systemClock, silentLog);
  const sqlite = new SqliteArbiter(join(folder, "arbiter.db"), systemClock);
  await pool.query("CREATE TABLE plain (name TEXT PRIMARY KEY, root TEXT NOT NULL, version BIGINT NOT NULL DEFAULT 1)");
  const update = "UPDATE plain SET root = $2, version = version + 1 WHERE name = $1 AND root = $3 RETURNING version";
  const rows: Readonly<Record<string, (writer: string) => Promise<Swap>>> = {
    "PostgreSQL's UPDATE": async (writer) => {
      await pool.query("INSERT INTO plain (name, root) VALUES ($1, $2)", [writer, root(0)]);
      return async (from, to) => (await pool.query(update, [writer, to, from])).rowCount === 1;
    },
    "PostgreSQL arbiter": (writer) => throughArbiter(postgres.roots, writer),
    "SQLite arbiter": (writer) => throughArbiter(sqlite.roots, writer),
  };
  for (const writers of [1, 8]) {
    const rates = new Map<string, number[]>();
    for (let turn = 0; turn < 3; turn++) {
      for (const [name, open] of Object.entries(rows)) {
        const swaps = [];
        for (let each = 0; each < writers; each++) swaps.push(await open(`${name}-${writers}-${turn}-${each}`));
        rates.set(name, [...(rates.get(name) ?? []), await rateOf(swaps)]);
      }
    }
    for (const [name, all] of rates) {
      const median = all.toSorted((a, b) => a - b)[1] ?? 0;
      console.log(`${writers} writers  ${name}: ${Math.round(median)} swaps/s (${all.map(Math.round).join(", ")})`);
    }
  }
  await postgres[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
} finally {
  await pool.end();
  server.end();
  rmSync(folder, { recursive: true, force: true });
}

type Swap = (from: Cid, to: Cid) => Promise<boolean>;

function root(number: number): Cid {
  return cidOf("dag-cbor", Buffer.from(String(number)));
}

async function throughArbiter(roots: RootTable, bucket: string): Promise<Swap> {
  const name = { owner: "bench", bucket };
  await roots.swap(name, undefined, root(0));
  return async (from, to) => (await roots.swapInEra(name, from, to, 1)).kind === "committed";
}

async function rateOf(swaps: readonly Swap[]): Promise<number> {
  const end = performance.now() + seconds * 1_000;
  let done = 0;
  await Promise.all(
    swaps.map(async (swap) => {
      for (let at = 0; performance.now() < end; at++) {
        if (!(await swap(root(at), root(at + 1)))) throw new Error("a swap was refused");
        done++;
      }
    }),
  );
  return done / seconds;
}
