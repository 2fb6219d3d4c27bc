/** A cache whose file was damaged, or cannot be opened. */
import { closeSync, fstatSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, test, vi } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import { nextTurn } from "../../../../src/base/concurrency.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../../src/master/limits.ts";
import type { PackCache } from "../../../../src/master/shared/pack-cache.ts";
import { collectShared } from "../../../../src/master/shared/shared-collection.ts";
import { SharedStores } from "../../../../src/master/shared/shared-stores.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { MemoryMasterObjects } from "../../../../src/simulate/master/memory-master-objects.ts";
import { rootCid } from "../../../contract/root-store.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf, CommitChain } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { LEASE_MS } from "../../../support/shared-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;
const ROOT = { bucket: "demo", commit: rootCid("a"), version: 3 };

test("a cache with damaged pages is rebuilt from the log, and keeps the roots that it knew", async () => {
  const { blocks, stored, damage } = await filled();
  const cids = stored.map(({ cid }) => cid);
  damage();
  const found = await Promise.all([blocks.has(cids), blocks.getMany(cids)]);
  expect(found.map(({ size }) => size)).toEqual([cids.length, cids.length]);
  expect(blocks.cache.roots.list()).toMatchObject([ROOT]);
  damage();
  expect(await blocks.put(stored)).toEqual({ stored: cids.length, known: 0 });
});

test("a file that is no cache is replaced", async () => {
  const { blocks, stored, path } = await filled();
  blocks.rest();
  writeFileSync(path, noise(100_000));
  expect((await blocks.has(stored.map(({ cid }) => cid))).size).toBe(stored.length);
});

test("a cache that counted bytes alone is counted again, and goes on", async () => {
  const { blocks, stored, path } = await filled();
  const { usedBytes } = blocks;
  blocks.rest();
  const db = new Database(path);
  db.exec("UPDATE log SET bytes = (SELECT sum(length) FROM blocks); DROP TABLE unread; PRAGMA user_version = 1");
  db.close();
  expect(blocks.usedBytes).toBe(usedBytes);
  blocks.rest();
  expect(blocks.usedBytes).toBe(usedBytes);
  expect(usedBytes).toBe(stored.length * (40 + BLOCK_OVERHEAD_BYTES));
  expect(blocks.cache.packs()).toHaveLength(1);
});

test("a cache that cannot be opened for another reason is not replaced", async () => {
  const { blocks, stored } = await filled();
  blocks.rest();
  const open = vi.spyOn(systemDatabases, "open").mockImplementationOnce(() => {
    throw new Database.SqliteError("too many open files", "SQLITE_CANTOPEN");
  });
  const cids = stored.map(({ cid }) => cid);
  await expect(blocks.has(cids)).rejects.toMatchObject({
    code: "store_failed",
    message: expect.stringContaining("too many open files"),
  });
  open.mockRestore();
  expect(blocks.cache.roots.list()).toMatchObject([ROOT]);
});

test("a collection starts over when the cache is replaced, so that it gives up no pack that the new cache lacks", async () => {
  const { blocks, stored, damage, collect, arbiter, clock } = await filled();
  const made = (await CommitChain.create()).make("one", undefined);
  await blocks.put(made.blocks);
  await arbiter.roots.swap({ owner: OWNER, bucket: "demo" }, undefined, made.commit.cid);
  blocks.cache.roots.accept([]);
  const condemn = blocks.cache.packs().map(({ pack }) => pack);
  await arbiter.packs.change(OWNER, { add: [], condemn, begunMs: 0, patienceMs: 0 });
  await clock.advance(2 * LEASE_MS);
  await blocks.era();
  // Another call finds the damage just when the collection has listed the packs.
  const { packs } = blocks.cache;
  vi.spyOn(blocks.cache, "packs").mockImplementationOnce(function (this: PackCache) {
    const listed = packs.call(this);
    setImmediate(() => {
      damage();
      const after = arbiter.packs.after;
      vi.spyOn(arbiter.packs, "after").mockImplementationOnce(async (...call) => {
        for (let turn = 0; turn < 10; turn++) await nextTurn();
        return after(...call);
      });
      void blocks.has(stored.map(({ cid }) => cid));
    });
    return listed;
  });
  await collect();
  const cids = made.blocks.map(({ cid }) => cid);
  expect(await blocks.has(cids)).toEqual(new Set(cids));
});

/** A master that has stored some blocks in one pack, and keeps its cache on disk. */
async function filled() {
  const dir = await temporaryFolder();
  const clock = new ManualClock();
  const arbiter = new SqliteArbiter("", clock);
  const objects = new MemoryMasterObjects(() => Number(clock.nowNs() / 1_000_000n));
  const ports = { clock, log: silentLog, databases: systemDatabases, leaseMs: LEASE_MS };
  const stores = new SharedStores({
    ...ports,
    arbiter,
    objects,
    cacheDir: dir,
    random: systemRandom,
    incarnation: () => "1",
    onWentBack: async () => {},
  });
  const blocks = await stores.of(OWNER);
  const stored = Array.from({ length: 2_000 }, (_, seed) => blockOf("raw", noise(40, seed + 1)));
  await blocks.put(stored);
  await blocks.swapped(ROOT.bucket, ROOT);
  const path = join(dir, `${OWNER}.db`);
  const { signal } = new AbortController();
  const alarm = new RootAlarm(silentLog);
  const collect = () =>
    collectShared({ ...ports, alarm, owner: OWNER, blocks, arbiter, objects: objects.of(OWNER), signal }, false);
  const damage = () => {
    blocks.rest();
    damagePages(path);
  };
  return { clock, arbiter, blocks, stored, path, collect, damage };
}

/** Overwrites all pages but the first ones, which hold the schema and the known roots. */
function damagePages(path: string): void {
  const file = openSync(path, "r+");
  const { size } = fstatSync(file);
  for (let at = 16 * PAGE_BYTES; at < size; at += PAGE_BYTES) {
    writeSync(file, Buffer.alloc(PAGE_BYTES, 0xff), 0, PAGE_BYTES, at);
  }
  closeSync(file);
}

const PAGE_BYTES = 4096;
