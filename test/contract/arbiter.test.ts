import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { Arbiter } from "../../src/arbiter/arbiter.ts";
import { Database } from "../../src/arbiter/postgres/database.ts";
import { migrateDown, migrateUp, migrationStates } from "../../src/arbiter/postgres/migrations.ts";
import { openPostgres } from "../../src/arbiter/postgres/postgres-arbiter.ts";
import { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";
import { systemClock } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { BucketRoots } from "../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../src/master/roots/root-alarm.ts";
import { MemoryBlockStores } from "../support/memory-owner-blocks.ts";
import { addressOf } from "../support/moved-address.ts";
import { postgresHere, PostgresServer } from "../support/postgres-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { arbiterContract } from "./arbiter.ts";
import { failure } from "./block-store.ts";
import { rootCid } from "./root-store.ts";

describe("SQLite in memory", () => {
  arbiterContract(async () => new SqliteArbiter("", systemClock));
});

test.skipIf(postgresHere() !== undefined)("PostgreSQL can be had here; skipped: it is not installed", () => {
  expect(postgresHere()).toBeUndefined();
});

describe.skipIf(postgresHere() === undefined)("PostgreSQL", () => {
  let server: PostgresServer;
  let admin: Client;
  let opened = 0;
  const open: Arbiter[] = [];
  beforeAll(async () => {
    server = await PostgresServer.start(await temporaryFolder());
    admin = new Client({ connectionString: server.url });
    // The server is killed in a test.
    admin.on("error", () => {});
    await admin.connect();
  });
  afterAll(async () => {
    for (const arbiter of open) await arbiter[Symbol.asyncDispose]();
    await admin?.end();
    await server?.[Symbol.asyncDispose]();
  });
  const freshUrl = async () => {
    const database = `d${++opened}`;
    await admin.query(`CREATE DATABASE ${database}`);
    return server.url.replace(/postgres$/, database);
  };
  const migrated = async (url: string) => {
    await using database = new Database(url, systemClock, silentLog);
    await migrateUp(database);
    return openPostgres(url, systemClock, silentLog);
  };
  const fresh = async () => {
    const url = await freshUrl();
    const arbiter = await migrated(url);
    open.push(arbiter);
    return { url, arbiter };
  };

  const connected = async (url: string) => {
    const client = new Client({ connectionString: url });
    client.on("error", () => {});
    await client.connect();
    onTestFinished(() => client.end());
    return client;
  };

  arbiterContract(async () => (await fresh()).arbiter);

  test("without its tables it is refused, and says how to make them", async () => {
    const error = await failure(openPostgres(await freshUrl(), systemClock, silentLog));
    expect(hasCode(error, "precondition_failed") && error.hint).toMatch(/migrate up/);
  });

  test("migrations go up and down, repeat, and keep what is in use", async () => {
    await using database = new Database(await freshUrl(), systemClock, silentLog);
    expect(await migrateUp(database)).toEqual(["bucket_roots", "packs", "revoked", "masters", "past", "store"]);
    expect(await migrateUp(database)).toEqual([]);
    await database.query("INSERT INTO syncline_masters VALUES ('id', 'origin', true, 'version', now())");
    expect(hasCode(await failure(migrateDown(database)), "precondition_failed")).toBe(true);
    expect((await migrationStates(database)).every(({ applied }) => applied)).toBe(true);
    await database.query("DELETE FROM syncline_masters");
    await database.query("INSERT INTO syncline_past VALUES (true, 1)");
    expect(hasCode(await failure(migrateDown(database)), "precondition_failed")).toBe(true);
    expect((await migrationStates(database)).every(({ applied }) => applied)).toBe(true);
    await database.query("DELETE FROM syncline_past");
    await database.query("INSERT INTO bucket_roots (owner_id, bucket, root_cid) VALUES ('o', 'b', 'c')");
    expect(hasCode(await failure(migrateDown(database)), "precondition_failed")).toBe(true);
    const states = await migrationStates(database);
    expect(states.map(({ applied }) => applied)).toEqual([true, false, false, false, false, false]);
    await database.query("DELETE FROM bucket_roots");
    expect(await migrateDown(database)).toEqual(["bucket_roots"]);
  });

  test("masters of the version before count on in the migrated table", async () => {
    const { url, arbiter } = await fresh();
    await using database = new Database(url, systemClock, silentLog);
    const insert = `
      INSERT INTO syncline_past AS p (beats, generation) VALUES (1, NULL)
      ON CONFLICT (one) DO UPDATE SET beats = p.beats + 1 RETURNING beats::text`;
    expect(await database.query(insert)).toEqual([{ beats: "1" }]);
    expect(await arbiter.takeStore("a")).toBe("a");
    expect(await database.query(insert)).toEqual([{ beats: "2" }]);
    expect(await arbiter.beat(2)).toBe(3);
    expect(await arbiter.store()).toEqual({ id: "a", told: 2 });
  });

  test("a failed migration names its step, and the steps before it stay", async () => {
    await using database = new Database(await freshUrl(), systemClock, silentLog);
    await database.query("CREATE VIEW syncline_owners AS SELECT 1 AS owner_id");
    await database.query("CREATE TABLE syncline_packs (unrelated TEXT)");
    const error = await failure(migrateUp(database));
    expect(error).toMatchObject({ code: "arbiter_unreachable", message: expect.stringMatching(/Step packs failed/) });
    const states = await migrationStates(database);
    expect(states.map(({ applied }) => applied)).toEqual([true, false, false, false, false, false]);
  });

  test("a swap that meets a collection waits for it, and is checked again", async () => {
    const { url, arbiter } = await fresh();
    const owner = `0x${"33".repeat(20)}` as Wallet;
    const name = { owner, bucket: "demo" };
    const { nowMs } = await arbiter.packs.after(owner, 0);
    const add = [{ pack: "0".repeat(32), bytes: 1, rows: 1 }];
    await arbiter.packs.change(owner, { add, condemn: [], begunMs: nowMs, patienceMs: 60_000 });
    const { era } = await arbiter.packs.after(owner, 0);
    await arbiter.roots.swapInEra(name, undefined, rootCid("a"), era);
    const other = new Client({ connectionString: url });
    await other.connect();
    await other.query("BEGIN");
    await other.query("UPDATE syncline_owners SET era = era + 1 WHERE owner_id = $1", [owner]);
    const swap = arbiter.roots.swapInEra(name, rootCid("a"), rootCid("b"), era);
    const create = arbiter.roots.swapInEra({ ...name, bucket: "new" }, undefined, rootCid("b"), era);
    const waiting = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    await expect.poll(async () => (await admin.query(waiting)).rows[0].n).toBe(2);
    await other.query("COMMIT");
    await other.end();
    expect(await swap).toEqual({ kind: "check again" });
    expect(await create).toEqual({ kind: "check again" });
  });

  test("what waits too long for a table's lock has changed nothing, and holds no connection of the server any more", async () => {
    const { url, arbiter } = await fresh();
    const name = { owner: "o", bucket: "b" };
    await arbiter.roots.swap(name, undefined, rootCid("a"));
    const other = await connected(url);
    await other.query("BEGIN");
    await other.query("LOCK TABLE bucket_roots");
    const swaps = await Promise.all([1, 2, 3].map(() => failure(arbiter.roots.swap(name, rootCid("a"), rootCid("b")))));
    expect(swaps).toMatchObject(swaps.map(() => ({ code: "arbiter_unreachable", unchanged: true })));
    const waiting = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    expect((await admin.query(waiting)).rows[0].n).toBe(0);
    await other.query("COMMIT");
    expect(await arbiter.roots.get(name)).toMatchObject({ commit: rootCid("a") });
  });

  test("a swap of other software is a conflict, never overwritten", async () => {
    const { url, arbiter } = await fresh();
    const name = { owner: "o", bucket: "b" };
    await arbiter.roots.swap(name, undefined, rootCid("a"));
    const other = new Client({ connectionString: url });
    await other.connect();
    await other.query("UPDATE bucket_roots SET root_cid = $1, version = version + 1", [rootCid("b")]);
    await other.end();
    expect(await arbiter.roots.swap(name, rootCid("a"), rootCid("c"))).toMatchObject({
      kind: "conflict",
      current: { commit: rootCid("b"), version: 2 },
    });
  });

  test("a row that is not a root does not hide those read with it", async () => {
    const { url, arbiter } = await fresh();
    const names = ["a", "b"].map((bucket) => ({ owner: "o", bucket }));
    for (const name of names) await arbiter.roots.swap(name, undefined, rootCid("a"));
    await using other = new Database(url, systemClock, silentLog);
    await other.query("UPDATE bucket_roots SET root_cid = 'unrelated' WHERE bucket = 'a'");
    expect(await arbiter.roots.getMany(names)).toEqual([undefined, { commit: rootCid("a"), version: 1 }]);
  });

  test("the incarnation can be read by an ordinary user", async () => {
    const { url, arbiter } = await fresh();
    await admin.query("CREATE ROLE plain LOGIN");
    await using database = new Database(url, systemClock, silentLog);
    await database.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain");
    const plain = await openPostgres(url.replace("postgres@", "plain@"), systemClock, silentLog);
    open.push(plain);
    expect(await plain.incarnation()).toBe(await arbiter.incarnation());
    expect(await plain.doubts()).toEqual([]);
  });

  test("while a role's password is changed, a master serves the roots that it knows, and goes on once it is let in", async () => {
    const { url, arbiter: owner } = await fresh();
    await admin.query("CREATE ROLE rotated LOGIN PASSWORD 'old'");
    await using database = new Database(url, systemClock, silentLog);
    await database.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO rotated");
    const rules = join(server.data, "pg_hba.conf");
    writeFileSync(rules, `host all rotated all scram-sha-256\n${readFileSync(rules, "utf8")}`);
    await admin.query("SELECT pg_reload_conf()");
    const arbiter = await openPostgres(url.replace("postgres@", "rotated:old@"), systemClock, silentLog);
    open.push(arbiter);
    const bucket = { owner: `0x${"44".repeat(20)}` as Wallet, bucket: "b" };
    await owner.roots.swap(bucket, undefined, rootCid("a"));
    const stores = new MemoryBlockStores();
    const ports = { clock: systemClock, log: silentLog };
    const alarm = new RootAlarm(silentLog);
    const roots = new BucketRoots({ ...ports, alarm, roots: arbiter.roots, stores, compareAndSwap: true });
    expect(await roots.read(bucket)).toMatchObject({ stale: false });
    await admin.query("ALTER ROLE rotated PASSWORD 'new'");
    const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'";
    await admin.query(cut);
    await expect.poll(() => roots.read(bucket)).toMatchObject({ stale: true, commit: rootCid("a") });
    expect(await failure(arbiter.roots.swap(bucket, rootCid("a"), rootCid("b")))).toMatchObject({
      code: "arbiter_unreachable",
      message: expect.stringContaining("password authentication failed"),
    });
    await admin.query("ALTER ROLE rotated PASSWORD 'old'");
    expect(await roots.read(bucket)).toMatchObject({ stale: false });
  });

  test("a backup of its disk that is put back shows by the beats alone", async () => {
    await using goes = await PostgresServer.start(await temporaryFolder());
    await using arbiter = await migrated(goes.url);
    const incarnation = await arbiter.incarnation();
    await arbiter.beat(0);
    const backup = `${goes.data}-backup`;
    goes.backUp(backup);
    const told = await arbiter.beat(0);
    await goes.stop("SIGKILL");
    goes.use({ data: backup, settings: [] });
    await expect.poll(() => arbiter.incarnation().catch(() => "")).toBe(incarnation);
    expect(await arbiter.beat(told)).toBeGreaterThan(told);
    expect(await arbiter.incarnation()).not.toBe(incarnation);
  });

  test("a promoted standby that was synchronous has counted all beats", async () => {
    await using primary = await PostgresServer.start(await temporaryFolder());
    await using arbiter = await migrated(primary.url);
    const data = `${primary.data}-standby`;
    primary.backUp(data, true);
    await using standby = await primary.standby(data);
    await using database = new Database(primary.url, systemClock, silentLog);
    await database.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await database.query("SELECT pg_reload_conf()");
    await expect.poll(() => arbiter.doubts()).toEqual([]);
    const told = await arbiter.beat(0);
    const before = await arbiter.incarnation();
    await primary.stop("SIGKILL");
    standby.promote();
    await using promoted = await openPostgres(standby.url, systemClock, silentLog);
    const timeline = await promoted.incarnation();
    expect(timeline).not.toBe(before);
    expect(await promoted.beat(told)).toBe(told + 1);
    expect(await promoted.incarnation()).toBe(timeline);
  });

  test("a standby's roots are no answer, and a server that became read-only is left for the one that was promoted", async () => {
    await using primary = await PostgresServer.start(await temporaryFolder());
    await (await migrated(primary.url))[Symbol.asyncDispose]();
    const data = `${primary.data}-standby`;
    primary.backUp(data, true);
    await using standby = await primary.standby(data);
    const address = await addressOf(primary.url);
    await using arbiter = await openPostgres(address.url, systemClock, silentLog);
    const name = { owner: "o", bucket: "b" };
    await arbiter.roots.swap(name, undefined, rootCid("a"));
    const reader = await connected(standby.url);
    await expect.poll(async () => (await reader.query("SELECT 1 FROM bucket_roots")).rows.length).toBe(1);
    address.leadTo(standby.url, "cut");
    for (let at = 0; at < 3; at++)
      expect(await failure(arbiter.roots.get(name))).toMatchObject({ code: "arbiter_unreachable" });
    expect(await failure(arbiter.lease("gc"))).toMatchObject({ code: "arbiter_unreachable" });
    address.leadTo(primary.url, "cut");
    await expect.poll(() => arbiter.roots.get(name).catch(() => {})).toMatchObject({ commit: rootCid("a") });
    const operator = await connected(primary.url);
    await operator.query("ALTER SYSTEM SET default_transaction_read_only = on");
    await operator.query("SELECT pg_reload_conf()");
    await expect
      .poll(async () => (await operator.query("SHOW default_transaction_read_only")).rows[0])
      .toEqual({ default_transaction_read_only: "on" });
    standby.promote();
    address.leadTo(standby.url);
    const swap = () => arbiter.roots.swap(name, rootCid("a"), rootCid("b")).catch(() => {});
    await expect.poll(swap).toMatchObject({ kind: "committed" });
  });

  test("at a server that falls silent, a job is lost, and none begins", async () => {
    const url = await freshUrl();
    await (await migrated(url))[Symbol.asyncDispose]();
    const address = await addressOf(url);
    await using arbiter = await openPostgres(address.url, systemClock, silentLog);
    const lease = await arbiter.lease("gc");
    expect(lease?.signal.aborted).toBe(false);
    address.silence();
    expect(await failure(arbiter.lease("other"))).toMatchObject({ code: "arbiter_unreachable" });
    await expect.poll(() => lease?.signal.aborted).toBe(true);
  });

  test("a server that was killed is unreachable, then serves again what it acknowledged", async () => {
    const { arbiter } = await fresh();
    const name = { owner: "o", bucket: "killed" };
    await arbiter.roots.swap(name, undefined, rootCid("a"));
    const lease = await arbiter.lease("gc");
    server.kill("SIGKILL");
    await expect.poll(async () => hasCode(await failure(arbiter.roots.get(name)), "arbiter_unreachable")).toBe(true);
    await expect.poll(() => lease?.signal.aborted).toBe(true);
    await expect
      .poll(() => {
        try {
          server.start();
          return true;
        } catch {
          return false;
        }
      })
      .toBe(true);
    expect(await arbiter.roots.get(name)).toEqual({ commit: rootCid("a"), version: 1 });
    await using again = await arbiter.lease("gc");
    expect(again).toBeDefined();
    await admin.end().catch(() => {});
  });
});
