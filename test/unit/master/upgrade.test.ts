/** A data folder as masters wrote it before their indexes knew roots: it opens, goes on, is collected, and an audit finds nothing wrong. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { beforeEach, expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { openFolderStorage } from "../../../src/master/store/folder-storage.ts";
import { startMaster } from "../../../src/master/master.ts";
import { CollectedMaster, LATER_MS, damageIn, publishNext } from "../../support/collected-master.ts";
import { CommitChain, type MadeCommit, nodeBlock } from "../../support/commit-chain.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

/** The index of version 2 as it was made then. */
const INDEX = `
  CREATE TABLE packs (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL UNIQUE,
    sealed INTEGER NOT NULL,
    "end"  INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE blocks (
    digest   BLOB PRIMARY KEY,
    pack     INTEGER NOT NULL,
    offset   INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    damaged  INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0,
    seen     INTEGER NOT NULL DEFAULT 0,
    leased   INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX damaged_blocks ON blocks (pack) WHERE damaged = 1;
  CREATE TABLE totals (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    blocks INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    marked INTEGER NOT NULL,
    era    INTEGER NOT NULL
  ) STRICT;
  PRAGMA user_version = 2;`;

/** The table of roots. */
const ROOTS = `
  CREATE TABLE bucket_roots (
    owner_id   TEXT NOT NULL,
    bucket     TEXT NOT NULL,
    root_cid   TEXT NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (owner_id, bucket)
  ) STRICT, WITHOUT ROWID`;

let dir: string;
let clock: ManualClock;
let chain: CommitChain;
let history: MadeCommit[];

beforeEach(async () => {
  dir = await temporaryFolder();
  clock = new ManualClock();
  chain = await CommitChain.create();
  history = [];
  await withMaster((master) => publish(master, 6));
  asItWas(join(dir, "owners", chain.owner.wallet, "index.db"), INDEX, ["packs", "blocks", "totals"]);
  asItWas(join(dir, "roots.db"), ROOTS, ["bucket_roots"]);
});

test("a data folder from an older version is whole, can be collected, and accepts swaps", async () => {
  expect(await damageIn({ dir })).toEqual([]);
  await withMaster(async (master) => {
    await publish(master, 1);
    await clock.advance(LATER_MS);
    expect((await master.collect(chain.owner.wallet)).blocks).toBeGreaterThan(0);
    await publish(master, 1);
    const kept = history.slice(-2).flatMap(({ commit, blocks }) => {
      return blocks.map(({ cid }) => cid).filter((cid) => cid !== commit.body.kept);
    });
    expect(await (await master.blocksOf(chain.owner.wallet)).has(kept)).toEqual(new Set(kept));
  });
  expect(await damageIn({ dir })).toEqual([]);
});

test("a master starts on an older version's data folder without warnings", async () => {
  const warned: string[] = [];
  const note = (message: string) => void warned.push(message);
  const listen = { host: "127.0.0.1", port: 0, tls: undefined };
  const log = { ...silentLog, warn: note, error: note };
  const allow = [chain.owner.wallet];
  const ports = { clock, random: systemRandom, log };
  const storage = await openFolderStorage({ dir, ...ports });
  const master = await startMaster({ storage, listen, allow, version: "test", ...ports });
  expect([...master.rolledBack]).toEqual([]);
  await master.stop();
  expect(warned).toEqual([]);
});

test("losing the index after its first collection loses nothing else", async () => {
  await clock.advance(LATER_MS);
  await withMaster(async (master) => void (await master.collect(chain.owner.wallet)));
  rmSync(join(dir, "owners", chain.owner.wallet, "index.db"));
  await withMaster((master) => publish(master, 1));
  expect(await damageIn({ dir })).toEqual([]);
});

function withMaster(work: (master: CollectedMaster) => Promise<unknown>): Promise<unknown> {
  return CollectedMaster.within({ dir, clock }, work);
}

async function publish(master: CollectedMaster, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const label = `${history.length} ${"x".repeat(2_000)}`;
    await (await master.blocksOf(chain.owner.wallet)).put([nodeBlock(`beside ${label}`)]);
    await publishNext(master, chain, history, label);
  }
}

/** Makes a database anew from the schema of then, with the rows that it has. */
function asItWas(path: string, schema: string, tables: readonly string[]): void {
  const now = new Database(path);
  const rows = tables.map((table) => now.prepare<[], Record<string, unknown>>(`SELECT * FROM ${table}`).all());
  now.close();
  for (const ending of ["", "-wal", "-shm"]) rmSync(path + ending, { force: true });
  const then = new Database(path);
  then.pragma("journal_mode = WAL");
  then.exec(schema);
  for (const [at, table] of tables.entries()) {
    for (const row of rows[at] ?? []) {
      const columns = Object.keys(row);
      const sql = `INSERT INTO ${table} (${columns.map((name) => `"${name}"`).join()}) VALUES (${columns.map(() => "?").join()})`;
      then.prepare(sql).run(...Object.values(row));
    }
  }
  then.close();
}
