/**
 * Swaps a second: SQLite and PostgreSQL through the arbiter, beside PostgreSQL's own UPDATE through the same driver; roots in S3
 * (versitygw), in both forms, beside its conditional PUT through the same client. By turns.
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
import type { PutOutcome } from "../../src/objects/object-store.ts";
import { S3BucketStore } from "../../src/objects/s3/s3-bucket-store.ts";
import { ObjectRootStore } from "../../src/roots/object-root-store.ts";
import type { RootTable } from "../../src/roots/root-store.ts";
import { PostgresServer } from "../../test/support/postgres-server.ts";
import { programOf, S3Server, s3Store } from "../../test/support/s3-server.ts";

const seconds = Number(process.argv[2] ?? 3);
const folder = mkdtempSync(join(tmpdir(), "syncline-swaps-"));
const server = await PostgresServer.start(folder);
const hasS3 = programOf("versitygw") !== undefined;
const s3 = hasS3 ? await S3Server.start("versitygw", join(folder, "s3")) : undefined;
const pool = new Pool({ connectionString: server.url, max: 8 });
pool.on("error", () => {});
try {
  const database = new Database(server.url, systemClock, silentLog);
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
    ...(s3 === undefined ? {} : s3Rows(s3)),
  };
  if (s3 === undefined) console.log("skipped: versitygw is not built");
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
  await s3?.kill();
  rmSync(folder, { recursive: true, force: true });
}

/** Each writer has a bucket of its own. */
function s3Rows(server: S3Server): Readonly<Record<string, (writer: string) => Promise<Swap>>> {
  const fresh = (writer: string) => s3Store(server, `${encodeURIComponent(writer)}-${Math.random()}`);
  const rooted = (form: "replaced" | "numbered") => async (writer: string) => {
    const checks = { chooseForm: async () => form, checkForm: async () => {} };
    const store = new S3BucketStore({ store: fresh(writer), clock: systemClock, ...checks });
    await store.initialize();
    const roots = new ObjectRootStore(store);
    const name = { owner: "", bucket: "" };
    await roots.swap(name, undefined, root(0));
    return async (from: Cid, to: Cid) => (await roots.swap(name, from, to)).kind === "committed";
  };
  return {
    "S3's conditional PUT": async (writer) => {
      const store = fresh(writer);
      let token = await tokenOf(store.putNew("root", [Buffer.from(root(0))]));
      return async (_, to) => {
        token = await tokenOf(store.putIfMatch("root", [Buffer.from(to)], token));
        return true;
      };
    },
    "S3, replaced root": rooted("replaced"),
    "S3, numbered roots": rooted("numbered"),
  };
}

async function tokenOf(putting: Promise<PutOutcome>): Promise<string> {
  const outcome = await putting;
  if (outcome.kind !== "stored" || outcome.token === undefined) throw new Error(`the put was ${outcome.kind}`);
  return outcome.token;
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
