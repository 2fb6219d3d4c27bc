/** The arbiter in a SQLite file, or in memory: for one master. */
import type Database from "better-sqlite3";
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid, Wallet } from "../base/ids.ts";
import { type Databases, systemDatabases } from "../objects/databases.ts";
import { SqliteRootStore } from "../roots/sqlite-root-store.ts";
import type { BucketName, RootTable, SwapOutcome } from "../roots/root-store.ts";
import {
  type Arbiter,
  type JobLease,
  type KnownStore,
  type LogEntry,
  type LogPage,
  PACK_STATES,
  type PackState,
  type PackChange,
  type PackLog,
  PAGE_ENTRIES,
  REVOKED_KEPT_S,
  type RevokedTokens,
  type SeenMaster,
} from "./arbiter.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS owners (
    owner_id TEXT PRIMARY KEY,
    era      INTEGER NOT NULL DEFAULT 1,
    position INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS packs (
    owner_id   TEXT NOT NULL,
    pack       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    "rows"     INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    era        INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (owner_id, pack)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS packs_position ON packs (owner_id, position);
  CREATE TABLE IF NOT EXISTS revoked (digest TEXT PRIMARY KEY, exp INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS arbiter (one INTEGER PRIMARY KEY CHECK (one = 1), incarnation TEXT NOT NULL) STRICT;
  INSERT OR IGNORE INTO arbiter VALUES (1, lower(hex(randomblob(16))));
  CREATE TABLE IF NOT EXISTS beats (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO beats VALUES (1, 0);
  CREATE TABLE IF NOT EXISTS store (
    one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT, told INTEGER NOT NULL
  ) STRICT;
  INSERT OR IGNORE INTO store VALUES (1, NULL, 0);`;

const AFTER = `
  SELECT pack, bytes, "rows", state, position, created_ms AS createdMs, changed_ms AS changedMs
  FROM packs WHERE owner_id = @owner AND position > @position AND position <= ifnull((
    SELECT position FROM packs WHERE owner_id = @owner AND position > @position
    ORDER BY position LIMIT 1 OFFSET ${PAGE_ENTRIES - 1}), ${Number.MAX_SAFE_INTEGER})
  ORDER BY position`;

export class SqliteArbiter implements Arbiter {
  readonly address: string;
  readonly roots: RootTable;
  readonly packs: PackLog;
  readonly revoked: RevokedTokens;
  readonly #db: Database.Database;
  readonly #table: SqliteRootStore;
  readonly #jobs = new Set<string>();
  readonly #watchers = new Set<(name: BucketName) => void>();
  readonly #masters = new Map<string, SeenMaster & { readonly seenMs: number }>();
  readonly #nowMs: () => number;

  /** `path` "" is in memory. Throws `arbiter_unreachable`. */
  constructor(path: string, clock: Clock, databases: Databases = systemDatabases) {
    this.address = path === "" ? "memory" : `sqlite:${path}`;
    this.#nowMs = () => Number(clock.nowNs() / 1_000_000n);
    this.#db = this.#doing(() => openTables(path, databases));
    this.#table = new SqliteRootStore(this.#db);
    this.roots = {
      get: (name) => this.#table.get(name),
      getMany: (names) => this.#table.getMany(names),
      row: (name) => this.#table.row(name),
      list: (owner, after, limit) => this.#table.list(owner, after, limit),
      swap: (name, expected, next) => this.#swap(name, expected, next),
      swapInEra: async (name, expected, next, era) =>
        // Nothing else runs between this look and the swap.
        era === this.#eraOf(name.owner) ? this.#swap(name, expected, next) : { kind: "check again" },
    };
    this.packs = this.#packLog();
    this.revoked = {
      add: async (digest, exp) => {
        this.#doing(() => {
          this.#db.prepare("INSERT OR IGNORE INTO revoked VALUES (?, ?)").run(digest, exp);
          this.#db.prepare("DELETE FROM revoked WHERE exp <= ?").run(this.#nowSeconds() - REVOKED_KEPT_S);
        });
      },
      all: async () => {
        const sql = "SELECT digest, exp FROM revoked WHERE exp > ?";
        return this.#doing(() =>
          this.#db.prepare<[number], { digest: string; exp: number }>(sql).all(this.#nowSeconds() - REVOKED_KEPT_S),
        );
      },
    };
  }

  async incarnation(): Promise<string> {
    const sql = "SELECT incarnation FROM arbiter";
    return this.#doing(() => this.#db.prepare<[], { incarnation: string }>(sql).get()?.incarnation ?? "");
  }

  async changeIncarnation(from: string): Promise<void> {
    const sql = "UPDATE arbiter SET incarnation = lower(hex(randomblob(16))) WHERE incarnation = ?";
    this.#doing(() => this.#db.prepare(sql).run(from));
  }

  async beat(told: number, before = 0): Promise<number> {
    const beat = () => {
      const known = this.#store();
      const wentBack = told < before && known.told >= before;
      this.#db.prepare("UPDATE store SET told = ?").run(wentBack ? told : Math.max(known.told, told));
      const renew = `
        UPDATE arbiter SET incarnation = lower(hex(randomblob(16))) WHERE ? OR (SELECT count FROM beats) < ?`;
      this.#db.prepare(renew).run(wentBack ? 1 : 0, told);
      const count = "UPDATE beats SET count = max(count, ?) + 1 RETURNING count";
      return this.#db.prepare<[number], { count: number }>(count).get(told)?.count ?? 0;
    };
    return this.#doing(() => this.#db.transaction(beat).immediate());
  }

  async store(): Promise<KnownStore> {
    return this.#doing(() => this.#store());
  }

  async takeStore(id: string): Promise<string> {
    const sql = "UPDATE store SET id = coalesce(id, ?) RETURNING id";
    return this.#doing(() => this.#db.prepare<[string], { id: string }>(sql).get(id)?.id ?? "");
  }

  async lease(job: string): Promise<JobLease | undefined> {
    if (this.#jobs.has(job)) return undefined;
    this.#jobs.add(job);
    return { signal: new AbortController().signal, [Symbol.asyncDispose]: async () => void this.#jobs.delete(job) };
  }

  watch(changed: (name: BucketName) => void): Disposable {
    this.#watchers.add(changed);
    return { [Symbol.dispose]: () => void this.#watchers.delete(changed) };
  }

  async announce(master: SeenMaster): Promise<void> {
    this.#masters.set(master.id, { ...master, seenMs: this.#nowMs() });
  }

  async withdraw(id: string): Promise<void> {
    this.#masters.delete(id);
  }

  async masters(seconds: number): Promise<SeenMaster[]> {
    const since = this.#nowMs() - seconds * 1000;
    return [...this.#masters.values()]
      .filter(({ seenMs }) => seenMs >= since)
      .map(({ seenMs: _, ...master }) => master);
  }

  async doubts(): Promise<string[]> {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#db.close();
  }

  #store(): KnownStore {
    const row = this.#db.prepare<[], { id: string | null; told: number }>("SELECT id, told FROM store").get();
    return { id: row?.id ?? undefined, told: row?.told ?? 0 };
  }

  #nowSeconds(): number {
    return Math.floor(this.#nowMs() / 1000);
  }

  async #swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    const outcome = await this.#table.swap(name, expected, next);
    if (outcome.kind === "committed") for (const changed of this.#watchers) changed(name);
    return outcome;
  }

  #eraOf(owner: string): number {
    return this.#doing(
      () =>
        this.#db.prepare<[string], { era: number }>("SELECT era FROM owners WHERE owner_id = ?").get(owner)?.era ?? 1,
    );
  }

  #packLog(): PackLog {
    return {
      owners: async () =>
        this.#doing(() =>
          this.#db.prepare<[], { owner_id: Wallet }>("SELECT owner_id FROM owners ORDER BY 1").all(),
        ).map(({ owner_id: owner }) => owner),
      after: async (owner, position) => this.#doing(() => this.#after(owner, position)),
      change: async (owner, change) =>
        this.#doing(() => this.#db.transaction(() => this.#change(owner, change)).immediate()),
      restore: async (owner, packs) =>
        this.#doing(() => this.#db.transaction(() => this.#restore(owner, packs)).immediate()),
      disown: async (owner, packs) =>
        this.#doing(() => this.#db.transaction(() => this.#disown(owner, packs)).immediate()),
      giveUp: async (owner, packs, { beforeMs, era }) =>
        this.#doing(() =>
          this.#db
            .transaction(() => {
              const { position } = this.#begin(owner, 0);
              const giveUp = this.#db.prepare(
                `UPDATE packs SET state = ${PACK_STATES.gone}, position = ?, changed_ms = ?
                 WHERE owner_id = ? AND pack = ? AND state = ${PACK_STATES.condemned} AND changed_ms < ? AND era <= ?`,
              );
              return packs.filter(
                (pack) => giveUp.run(position, this.#nowMs(), owner, pack, beforeMs, era).changes === 1,
              );
            })
            .immediate(),
        ),
    };
  }

  #after(owner: Wallet, position: number): LogPage {
    const era = this.#eraOf(owner);
    const entries = this.#db.prepare<[object], LogEntry>(AFTER).all({ owner, position });
    const head = this.#db
      .prepare<[string], { position: number }>("SELECT position FROM owners WHERE owner_id = ?")
      .get(owner);
    return { era, entries, more: entries.length >= PAGE_ENTRIES, nowMs: this.#nowMs(), position: head?.position ?? 0 };
  }

  /** Begins a change of the owner's packs. */
  #begin(owner: Wallet, eras: number): { position: number; era: number } {
    const sql = `
      INSERT INTO owners (owner_id, position) VALUES (@owner, 1)
      ON CONFLICT DO UPDATE SET position = position + 1, era = era + @eras RETURNING position, era`;
    const row = this.#db.prepare<[object], { position: number; era: number }>(sql).get({ owner, eras });
    return row ?? { position: 1, era: 1 };
  }

  #change(owner: Wallet, { add, condemn, begunMs, patienceMs }: PackChange): Set<string> {
    const nowMs = this.#nowMs();
    const { position, era } = this.#begin(owner, condemn.length > 0 ? 1 : 0);
    const condemned = this.#db.prepare(
      `UPDATE packs SET state = ${PACK_STATES.condemned}, position = ?, era = ?, changed_ms = ?
       WHERE owner_id = ? AND pack = ? AND state = ${PACK_STATES.live}`,
    );
    const inTime = nowMs - begunMs <= patienceMs;
    if (inTime) {
      const insert = this.#db.prepare("INSERT OR IGNORE INTO packs VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?)");
      for (const { pack, bytes, rows } of add) insert.run(owner, pack, bytes, rows, position, era, nowMs, nowMs);
    }
    const live = this.#live(
      owner,
      add.map(({ pack }) => pack),
    );
    // Without their replacements, packs must not be condemned.
    if (live.size < add.length) return live;
    for (const pack of condemn) condemned.run(position, era, nowMs, owner, pack);
    return live;
  }

  #restore(owner: Wallet, packs: readonly string[]): Set<string> {
    const { position } = this.#begin(owner, 0);
    const restore = this.#db.prepare(
      `UPDATE packs SET state = ${PACK_STATES.live}, position = ?, changed_ms = ?
       WHERE owner_id = ? AND pack = ? AND state = ${PACK_STATES.condemned}`,
    );
    for (const pack of packs) restore.run(position, this.#nowMs(), owner, pack);
    return this.#live(owner, packs);
  }

  #disown(owner: Wallet, packs: readonly string[]): Set<string> {
    const nowMs = this.#nowMs();
    const { position, era } = this.#begin(owner, 0);
    const insert = this.#db.prepare(`INSERT OR IGNORE INTO packs VALUES (?, ?, 0, 0, ${PACK_STATES.gone}, ?, ?, ?, ?)`);
    for (const pack of packs) insert.run(owner, pack, position, era, nowMs, nowMs);
    return this.#inState(PACK_STATES.gone, owner, packs);
  }

  #live(owner: Wallet, packs: readonly string[]): Set<string> {
    return this.#inState(PACK_STATES.live, owner, packs);
  }

  #inState(state: PackState, owner: Wallet, packs: readonly string[]): Set<string> {
    const found = this.#db.prepare("SELECT 1 FROM packs WHERE owner_id = ? AND pack = ? AND state = ?");
    return new Set(packs.filter((pack) => found.get(owner, pack, state) !== undefined));
  }

  #doing<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof SynclineError) throw cause;
      throw new SynclineError("arbiter_unreachable", `Cannot use ${this.address}: ${String(cause)}`, { cause });
    }
  }
}

function openTables(path: string, databases: Databases): Database.Database {
  const db = databases.open(path === "" ? ":memory:" : path);
  try {
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    db.exec(SCHEMA);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
