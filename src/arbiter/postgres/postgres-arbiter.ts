/** The arbiter in PostgreSQL, for any number of masters. */
import type { Client } from "pg";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { LastingTrouble } from "../../base/lasting-trouble.ts";
import type { Log } from "../../base/log.ts";
import type { BucketName } from "../../roots/root-store.ts";
import {
  type Arbiter,
  type JobLease,
  type KnownStore,
  REVOKED_KEPT_S,
  type RevokedTokens,
  type SeenMaster,
} from "../arbiter.ts";
import { Database } from "./database.ts";
import { migrationStates } from "./migrations.ts";
import { PostgresPacks } from "./postgres-packs.ts";
import { PostgresRoots } from "./postgres-roots.ts";
import { StatementFailed } from "./statement-failed.ts";

/** How soon a broken watch reconnects, and how often the holder of a job checks its connection. */
const WATCH_AGAIN_MS = 1_000;
const JOB_LOOK_MS = 5_000;

/**
 * The cluster, its timeline (new after a point-in-time recovery or a promotion), the table (new after a dump was restored),
 * and what was drawn once it was found to have gone back.
 */
const incarnationOf = (generation: string) => `(
  SELECT system_identifier::text || '-' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '-' || 'syncline_owners'::regclass::oid::text || coalesce('-' || ${generation}, '')
  FROM pg_control_system())`;

/**
 * Opens it. Throws `bad_address`, `arbiter_unreachable`, `config_invalid` behind a pooler that shares sessions, and
 * `precondition_failed` before `syncline migrate up`.
 */
export async function openPostgres(url: string, clock: Clock, log: Log): Promise<PostgresArbiter> {
  const database = new Database(url, clock, log);
  try {
    await database.requireSessions();
    const missing = (await migrationStates(database)).filter(({ applied }) => !applied);
    if (missing.length > 0) {
      throw new SynclineError(
        "precondition_failed",
        `${database.address} lacks tables: ${missing.map(({ name }) => name).join(", ")}.`,
        { hint: "Run `syncline migrate up --arbiter URL`." },
      );
    }
    return new PostgresArbiter(database, clock, log);
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

export class PostgresArbiter implements Arbiter {
  readonly address: string;
  readonly roots: PostgresRoots;
  readonly packs: PostgresPacks;
  readonly revoked: RevokedTokens;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #ends = new Set<() => Promise<void>>();

  constructor(database: Database, clock: Clock, log: Log) {
    this.address = database.address;
    this.roots = new PostgresRoots(database);
    this.packs = new PostgresPacks(database);
    this.#database = database;
    this.#clock = clock;
    this.#log = log;
    this.revoked = {
      add: async (digest, exp) => {
        await database.query("DELETE FROM syncline_revoked WHERE exp <= extract(epoch FROM now()) - $1", [
          REVOKED_KEPT_S,
        ]);
        const sql = "INSERT INTO syncline_revoked (digest, exp) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        await database.query(sql, [digest, exp]);
      },
      all: async () => {
        const sql = "SELECT digest, exp::text FROM syncline_revoked WHERE exp > extract(epoch FROM now()) - $1";
        const rows = await database.query<{ digest: string; exp: string }>(sql, [REVOKED_KEPT_S]);
        return rows.map(({ digest, exp }) => ({ digest, exp: Number(exp) }));
      },
    };
  }

  async incarnation(): Promise<string> {
    const sql = `SELECT ${incarnationOf("(SELECT generation FROM syncline_past)")} AS incarnation`;
    const [row] = await this.#database.query<{ incarnation: string }>(sql);
    return row?.incarnation ?? "";
  }

  async changeIncarnation(from: string): Promise<void> {
    const sql = `
      UPDATE syncline_past AS p SET generation = gen_random_uuid()::text WHERE ${incarnationOf("p.generation")} = $1`;
    await this.#database.query(sql, [from]);
  }

  async beat(told: number, before = 0): Promise<number> {
    // Of several masters that saw the store go back, the first one finds `told` as it was.
    const wentBack = "$1::bigint < $2::bigint AND p.told >= $2::bigint";
    const sql = `
      INSERT INTO syncline_past AS p (beats, told, generation)
      VALUES ($1::bigint + 1, $1::bigint, CASE WHEN $1::bigint > 0 THEN gen_random_uuid()::text END)
      ON CONFLICT (one) DO UPDATE SET beats = greatest(p.beats, $1::bigint) + 1,
        told = CASE WHEN ${wentBack} THEN $1::bigint ELSE greatest(p.told, $1::bigint) END,
        generation = CASE WHEN p.beats < $1::bigint OR ${wentBack} THEN gen_random_uuid()::text ELSE p.generation END
      RETURNING beats::text`;
    const [row] = await this.#database.query<{ beats: string }>(sql, [told, before]);
    return Number(row?.beats);
  }

  async store(): Promise<KnownStore> {
    const sql = "SELECT store AS id, told::text FROM syncline_past";
    const [row] = await this.#database.query<{ id: string | null; told: string }>(sql);
    return { id: row?.id ?? undefined, told: Number(row?.told ?? 0) };
  }

  async takeStore(id: string): Promise<string> {
    const sql = `
      INSERT INTO syncline_past AS p (beats, store) VALUES (0, $1)
      ON CONFLICT (one) DO UPDATE SET store = coalesce(p.store, excluded.store) RETURNING store`;
    const [row] = await this.#database.query<{ store: string }>(sql, [id]);
    return row?.store ?? "";
  }

  /** An advisory lock, held on its own connection: the server frees it when that connection ends. */
  async lease(job: string): Promise<JobLease | undefined> {
    const client = await this.#database.connection();
    const lost = new AbortController();
    const end = async () => {
      this.#ends.delete(end);
      look?.[Symbol.dispose]();
      await this.#database.close(client);
    };
    let look: Disposable | undefined;
    try {
      const sql = "SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held";
      const { rows } = await client.query<{ held: boolean }>(sql, [`syncline/${job}`]);
      if (rows[0]?.held !== true) {
        await end();
        return undefined;
      }
    } catch (cause) {
      await end();
      throw new StatementFailed(this.address, cause, false);
    }
    const lose = () => lost.abort(new SynclineError("arbiter_unreachable", `The lease of ${job} was lost.`));
    client.on("end", lose);
    const lookAfter = () => {
      look = this.#clock.after(JOB_LOOK_MS, () => void client.query("SELECT 1").then(lookAfter, lose));
    };
    lookAfter();
    this.#ends.add(end);
    return { signal: lost.signal, [Symbol.asyncDispose]: end };
  }

  watch(changed: (name: BucketName) => void): Disposable {
    const watch = { ended: false, client: undefined as Client | undefined };
    const end = async () => {
      watch.ended = true;
      this.#ends.delete(end);
      if (watch.client !== undefined) await this.#database.close(watch.client);
    };
    this.#ends.add(end);
    void this.#listen(watch, changed);
    return { [Symbol.dispose]: () => void end() };
  }

  /** Listens until it ends. What changed while no connection was there is missed. */
  async #listen(watch: { ended: boolean; client: Client | undefined }, changed: (name: BucketName) => void) {
    const trouble = new LastingTrouble("cannot watch the roots", this.#clock, this.#log);
    while (!watch.ended) {
      let client: Client | undefined;
      try {
        client = await this.#database.connection();
        watch.client = client;
        const over = Promise.withResolvers<void>();
        client.on("end", () => over.resolve());
        client.on("notification", ({ payload = "" }) => {
          const [owner = "", bucket = ""] = payload.split("/");
          changed({ owner, bucket });
        });
        await client.query("LISTEN syncline_roots");
        trouble.succeeded();
        if (watch.ended) await this.#database.close(client);
        await over.promise;
      } catch (error) {
        if (client !== undefined) await this.#database.close(client);
        if (!watch.ended) trouble.failed(error);
      }
      if (!watch.ended) await this.#clock.sleep(WATCH_AGAIN_MS);
    }
  }

  async announce({ id, origin, compareAndSwap, ...master }: SeenMaster): Promise<void> {
    const sql = `
      INSERT INTO syncline_masters (id, origin, cas, version, seen_at) VALUES ($1, $2, $3, $4, now())
      ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, cas = excluded.cas, seen_at = now()`;
    await this.#database.query(sql, [id, origin, compareAndSwap, versionText(master)]);
    await this.#database.query("DELETE FROM syncline_masters WHERE seen_at < now() - interval '1 day'");
  }

  async withdraw(id: string): Promise<void> {
    await this.#database.query("DELETE FROM syncline_masters WHERE id = $1", [id]);
  }

  async masters(seconds: number): Promise<SeenMaster[]> {
    const sql = `
      SELECT id, origin, cas, version FROM syncline_masters
      WHERE seen_at > now() - make_interval(secs => $1) ORDER BY origin`;
    const rows = await this.#database.query<MasterRow>(sql, [seconds]);
    return rows.map(masterOf);
  }

  async doubts(): Promise<string[]> {
    // An ordinary user sees that there is a standby, but not its state.
    const [row] = await this.#database.query<{ commit: string; standbys: string }>(`
      SELECT current_setting('synchronous_commit') AS commit, (
        SELECT count(*) FROM pg_stat_replication
        WHERE sync_state = 'async' OR sync_state IS NULL AND current_setting('synchronous_standby_names') = ''
      )::text AS standbys`);
    const doubts: string[] = [];
    if (row?.commit === "off") {
      doubts.push("synchronous_commit is off: a crash of PostgreSQL loses roots that were acknowledged. Set it to on.");
    }
    if (Number(row?.standbys ?? 0) > 0) {
      doubts.push("A standby is asynchronous: promoting it loses roots that were acknowledged shortly before.");
    }
    return doubts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#ends].map((end) => end()));
    await this.#database[Symbol.asyncDispose]();
  }
}

interface MasterRow extends Record<string, unknown> {
  readonly id: string;
  readonly origin: string;
  readonly cas: boolean;
  readonly version: string;
}

/**
 * Lease and rules are build metadata of the version (https://semver.org/#spec-item-10), since the table has no columns for
 * them. Earlier versions read the lease at the end.
 */
function versionText({ version, rules, leaseSeconds }: Omit<SeenMaster, "id" | "origin" | "compareAndSwap">): string {
  const ruled = rules === undefined ? version : `${version}+rules:${rules}`;
  return leaseSeconds === undefined ? ruled : `${ruled}+lease.${leaseSeconds}`;
}

function masterOf({ id, origin, cas: compareAndSwap, version: text }: MasterRow): SeenMaster {
  const [, version = text, rules, seconds] = /^(.*?)(?:\+rules:([^+]*))?(?:\+lease\.(\d{1,15}))?$/.exec(text) ?? [];
  return {
    id,
    origin,
    compareAndSwap,
    version,
    ...(seconds !== undefined && { leaseSeconds: Number(seconds) }),
    ...(rules !== undefined && { rules }),
  };
}
