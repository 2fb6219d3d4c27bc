/** A master whose table of roots was lost, or replaced by an older copy: what only newer roots reach must not be collected. */
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { beforeEach, describe, expect, test } from "vitest";
import type { Cid, Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { openFolderStorage } from "../../../../src/master/store/folder-storage.ts";
import { startMaster } from "../../../../src/master/master.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { auditData } from "../../../../src/master/store/audit.ts";
import { systemPackDisk } from "../../../../src/master/store/pack-disk.ts";
import { repairData } from "../../../../src/master/store/repair.ts";
import { acceptRoots, checkRoots } from "../../../../src/master/store/roots-check.ts";
import { SqliteRootStore } from "../../../../src/roots/sqlite-root-store.ts";
import { CollectedMaster, LATER_MS, damageIn, publishNext, retaining } from "../../../support/collected-master.ts";
import { CommitChain, type MadeCommit, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const ROLLED_BACK = { code: "root_rolled_back" };
const CORRUPT = { code: "store_corrupt" };

let dir: string;
let clock: ManualClock;
let chain: CommitChain;
let owner: Wallet;
/** What `photos` was swapped to, each of which retains the one before alone. */
let history: MadeCommit[];

beforeEach(async () => {
  dir = await temporaryFolder();
  clock = new ManualClock();
  chain = await CommitChain.create();
  owner = chain.owner.wallet;
  history = [];
});

describe("a rolled-back table of roots", () => {
  test.each([
    ["since a collection", true],
    ["since a swap", false],
  ])("that is older than what was known %s blocks collections until the newest is back", async (_, collected) => {
    await withMaster((master) => publish(master, 2));
    copyRoots(dir, `${dir}/older`);
    await withMaster(async (master) => {
      await publish(master, 2);
      if (collected) await master.collect(owner);
    });
    copyRoots(dir, `${dir}/newest`);
    copyRoots(`${dir}/older`, dir);
    await clock.advance(LATER_MS);
    await withMaster(async (master) => {
      await expect(master.collect(owner)).rejects.toMatchObject(ROLLED_BACK);
      await expect(master.collect(owner, true)).rejects.toMatchObject(ROLLED_BACK);
      expect([...master.alarm.owners]).toEqual([owner]);
    });
    expect(await behind()).toEqual([["photos", history[3]?.commit.cid]]);
    expect(await damageIn({ dir })).toEqual([expect.stringMatching(/^roots: .*older than this root \(version 4\)/)]);
    copyRoots(`${dir}/newest`, dir);
    expect(await behind()).toEqual([]);
    await withMaster(async (master) => {
      await master.collect(owner);
      await everyBlock(master, history.slice(-2));
      expect([...master.alarm.owners]).toEqual([]);
    });
    expect(await damageIn({ dir })).toEqual([]);
  });

  test("is still detected after a repair rebuilt the index", async () => {
    await withMaster((master) => publish(master, 1));
    copyRoots(dir, `${dir}/older`);
    await withMaster((master) => publish(master, 1));
    copyRoots(`${dir}/older`, dir);
    changeIndex("DELETE FROM blocks WHERE digest = (SELECT min(digest) FROM blocks)");
    const options = { dir, disk: systemPackDisk, clock, log: silentLog };
    const { damage } = await auditData({ ...options, onBytes: () => {} });
    expect(new Set(damage.map(({ kind }) => kind))).toEqual(new Set(["roots", "index"]));
    await repairData(options, damage);
    expect(await damageIn({ dir })).toEqual([expect.stringMatching(/^roots: /)]);
  });

  test("does not pass as current after new swaps, even as many as were lost", async () => {
    await withMaster((master) => publish(master, 2));
    copyRoots(dir, `${dir}/older`);
    await withMaster((master) => publish(master, 2));
    const lost = history.splice(2);
    copyRoots(`${dir}/older`, dir);
    await withMaster(async (master) => {
      await publish(master, 4, "again");
      expect([...master.alarm.owners]).toEqual([owner]);
    });
    await clock.advance(LATER_MS);
    await withMaster(async (master) => {
      await expect(master.collect(owner)).rejects.toMatchObject(ROLLED_BACK);
      await everyBlock(master, lost);
    });
    expect(await damageIn({ dir })).toHaveLength(1);
  });

  test("is accepted once a person confirms it", async () => {
    await withMaster((master) => publish(master, 2));
    copyRoots(dir, `${dir}/older`);
    await withMaster((master) => publish(master, 2));
    copyRoots(`${dir}/older`, dir);
    const lost = history.splice(2);
    await accept();
    expect(await behind()).toEqual([]);
    expect(await damageIn({ dir })).toEqual([]);
    await clock.advance(LATER_MS);
    await withMaster(async (master) => {
      expect((await master.collect(owner)).blocks).toBeGreaterThan(0);
      await everyBlock(master, history);
      expect(await (await master.blocksOf(owner)).has(lost.map(({ commit }) => commit.cid))).toEqual(new Set());
    });
  });

  test("that only lacks a known bucket is detected", async () => {
    await withMaster(async (master) => {
      await publish(master, 1);
      copyRoots(dir, `${dir}/older`);
      await master.publish(owner, "music", retaining(await CommitChain.create(), text("music"), undefined, []));
    });
    copyRoots(`${dir}/older`, dir);
    await clock.advance(LATER_MS);
    await withMaster((master) => expect(master.collect(owner)).rejects.toMatchObject(ROLLED_BACK));
    expect(await behind()).toEqual([["music", expect.any(String)]]);
  });

  test("blocks collections of the affected owner only", async () => {
    const other = await CommitChain.create(1, 9);
    await withMaster(async (master) => {
      await publish(master, 1);
      await master.publish(other.owner.wallet, "b", retaining(other, text("b"), undefined, []));
      await (await master.blocksOf(other.owner.wallet)).put([nodeBlock(text("garbage"))]);
      copyRoots(dir, `${dir}/older`);
      await publish(master, 1);
    });
    copyRoots(`${dir}/older`, dir);
    await clock.advance(LATER_MS);
    await withMaster(async (master) => {
      await expect(master.collect(owner)).rejects.toMatchObject(ROLLED_BACK);
      expect((await master.collect(other.owner.wallet)).blocks).toBe(1);
    });
  });
});

describe("a starting master", () => {
  test.each([
    ["gone", () => removeRoots()],
    ["empty", () => removeRoots().then(() => new SqliteRootStore(join(dir, "roots.db"))[Symbol.dispose]())],
  ])("refuses a table of roots that is %s, unless told to accept it", async (_, lose) => {
    await withMaster((master) => publish(master, 1));
    await lose();
    expect((await damageIn({ dir })).length).toBeGreaterThan(0);
    await expect(serve()).rejects.toMatchObject(ROLLED_BACK);
    // Once more: the attempt itself must not make up for it.
    await expect(serve()).rejects.toMatchObject(ROLLED_BACK);
    await (await serve(true)).stop();
    await (await serve()).stop();
  });

  test("reports the owners whose collections are blocked, in its metrics too", async () => {
    await withMaster(async (master) => {
      await publish(master, 1);
      copyRoots(dir, `${dir}/older`);
      await publish(master, 1);
    });
    copyRoots(`${dir}/older`, dir);
    const master = await serve();
    expect([...master.rolledBack]).toEqual([owner]);
    const metrics = await (await fetch(`${master.metricsOrigin}/metrics`)).text();
    expect(metrics).toMatch(/^syncline_rolled_back_owners 1$/m);
    await master.stop();
  });

  test.each([false, true])(
    "serves other owners if one owner's root is not a CID (--accept-roots: %s)",
    async (accepts) => {
      const other = await CommitChain.create(1, 9);
      await withMaster(async (master) => {
        await publish(master, 1);
        await master.publish(other.owner.wallet, "b", retaining(other, text("b"), undefined, []));
      });
      const table = new Database(join(dir, "roots.db"));
      table.prepare("UPDATE bucket_roots SET root_cid = 'none' WHERE owner_id = ?").run(other.owner.wallet);
      table.close();
      const master = await serve(accepts);
      expect([...master.rolledBack]).toEqual([]);
      await master.stop();
      await withMaster((opened) => expect(opened.collect(other.owner.wallet)).rejects.toMatchObject(CORRUPT));
    },
  );

  test("accepts a folder with blocks that never had a root", async () => {
    await withMaster(async (master) => void (await (await master.blocksOf(owner)).put([nodeBlock("sent")])));
    await (await serve()).stop();
    expect(await behind()).toEqual([]);
  });
});

describe("a kill", () => {
  test("at any point of swaps and collections raises no alarm, but any older table does", async () => {
    const points: { readonly kill: string; readonly version: number }[] = [];
    await withMaster(async (master) => {
      const killHere = (version: number) => {
        const kill = `${dir}/killed/${points.length}`;
        copyFolder(kill);
        points.push({ kill, version });
      };
      const swap = master.roots.swap.bind(master.roots);
      master.roots.swap = async (...args) => {
        killHere(history.length);
        const outcome = await swap(...args);
        killHere(history.length + 1);
        return outcome;
      };
      for (let round = 0; round < 3; round++) {
        await publish(master, 1);
        killHere(history.length);
        await clock.advance(LATER_MS);
        await master.collect(owner);
        killHere(history.length);
      }
    });
    const live = dir;
    for (const [at, { kill, version }] of points.entries()) {
      dir = kill;
      expect(await behind(), `killed at ${at}`).toEqual([]);
      for (const older of points.slice(0, at)) {
        // What came behind the last swap or collection may be lost unnoticed.
        if (older.version >= version - 1 || older.version === 0) continue;
        dir = `${live}/mixed`;
        cpSync(kill, dir, { recursive: true });
        copyRoots(older.kill, dir);
        expect(await behind(), `killed at ${at} with the roots of version ${older.version}`).toHaveLength(1);
        rmSync(dir, { recursive: true });
      }
    }
    expect(points.length).toBe(12);
  });
});

test("an index from an older version records roots from then on", async () => {
  await withMaster((master) => publish(master, 2));
  forget();
  copyRoots(dir, `${dir}/older`);
  await withMaster(async (master) => {
    expect(await behind([owner])).toEqual([]);
    await publish(master, 1);
  });
  copyRoots(`${dir}/older`, dir);
  expect(await behind()).toEqual([["photos", history[2]?.commit.cid]]);
});

test("with an older version's index, nothing is collected of an owner without a known root", async () => {
  await withMaster((master) => publish(master, 2));
  forget();
  await removeRoots();
  await clock.advance(LATER_MS);
  const blocks = history.flatMap(({ blocks: own }) => own.map(({ cid }) => cid));
  await withMaster(async (master) => {
    expect(await master.collect(owner)).toMatchObject({ blocks: 0, dropped: 0 });
    expect(await (await master.blocksOf(owner)).has(blocks)).toEqual(new Set(blocks));
  });
});

function withMaster(work: (master: CollectedMaster) => Promise<unknown>): Promise<unknown> {
  return CollectedMaster.within({ dir, clock }, work);
}

async function publish(master: CollectedMaster, count: number, label = ""): Promise<void> {
  for (let index = 0; index < count; index++)
    await publishNext(master, chain, history, text(`${label}${history.length}`));
}

/** A master as `syncline serve` starts it. */
async function serve(acceptRoots = false) {
  const listen = { host: "127.0.0.1", port: 0, tls: undefined };
  const metricsListen = { host: "127.0.0.1", port: 0 };
  const ports = { clock, random: systemRandom, log: silentLog };
  const storage = await openFolderStorage({ dir, acceptRoots, ...ports });
  return startMaster({ storage, listen, metricsListen, allow: [owner], version: "test", ...ports });
}

/** Buckets and roots that the table should know. */
async function behind(owners: readonly Wallet[] = [owner]): Promise<[string, Cid][]> {
  using roots = new SqliteRootStore(join(dir, "roots.db"));
  const found = await checkRoots({ dir, roots, owners });
  return [...found.values()].flat().map(({ bucket, commit }) => [bucket, commit]);
}

async function accept(): Promise<void> {
  using roots = new SqliteRootStore(join(dir, "roots.db"));
  await acceptRoots({ dir, roots, owners: [owner] });
}

/** With what is in its log only. */
function copyRoots(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const ending of ["", "-wal", "-shm"]) {
    rmSync(join(to, `roots.db${ending}`), { force: true });
    const file = join(from, `roots.db${ending}`);
    if (existsSync(file)) copyFileSync(file, join(to, `roots.db${ending}`));
  }
}

function copyFolder(to: string): void {
  cpSync(join(dir, "owners"), join(to, "owners"), { recursive: true });
  for (const name of readdirSync(dir)) if (/^(roots|master)/.test(name)) copyFileSync(join(dir, name), join(to, name));
}

async function removeRoots(): Promise<void> {
  for (const ending of ["", "-wal", "-shm"]) rmSync(join(dir, `roots.db${ending}`), { force: true });
}

/** As an index of before it knew roots. */
function forget(): void {
  changeIndex("DROP TABLE known_roots");
}

function changeIndex(sql: string): void {
  const index = new Database(join(dir, "owners", owner, "index.db"));
  index.exec(sql);
  index.close();
}

async function everyBlock(master: CollectedMaster, commits: readonly MadeCommit[]): Promise<void> {
  const cids = commits.flatMap(({ commit, blocks }) =>
    blocks.map(({ cid }) => cid).filter((cid) => cid !== commit.body.kept),
  );
  expect(await (await master.blocksOf(owner)).has(cids)).toEqual(new Set(cids));
}

function text(label: string): string {
  return `${label} ${"x".repeat(2_000)}`;
}
