/** Storages of masters that share an arbiter and a store in memory, as `openSharedStorage` opens them. */
import { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { type Log, silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { CollectionReport } from "../../src/master/gc/collection.ts";
import { RootAlarm } from "../../src/master/roots/root-alarm.ts";
import { SwapGate } from "../../src/master/roots/swap-gate.ts";
import { openSharedStorage } from "../../src/master/shared/shared-storage.ts";
import type { MasterStorage } from "../../src/master/storage.ts";
import { systemDatabases } from "../../src/objects/databases.ts";
import { MemoryMasterObjects } from "../../src/simulate/master/memory-master-objects.ts";
import type { CommitChain, MadeCommit } from "./commit-chain.ts";
import { kept } from "./kept-arbiter.ts";
import { ManualClock } from "./manual-clock.ts";

/** After so long without a beat, an arbiter counts as silent. */
export const SILENT_MS = 300_000;

export function storageWorld(clock = new ManualClock(), log: Log = silentLog) {
  const objects = new MemoryMasterObjects(() => Number(clock.nowNs() / 1_000_000n));
  const arbiter = new SqliteArbiter("", clock);
  const leaseSeconds = 10;
  const open = (by: SqliteArbiter, acceptRoots = false, cacheDir: string | undefined = undefined) =>
    openSharedStorage({
      arbiter: kept(by),
      objects,
      cacheDir,
      databases: systemDatabases,
      leaseSeconds,
      clock,
      random: systemRandom,
      log,
      acceptRoots,
    });
  return { clock, arbiter, objects, leaseSeconds, open };
}

/** The first commit of the owner's bucket, or one after `from`. */
export async function publishAt(storage: MasterStorage, chain: CommitChain, from?: MadeCommit): Promise<MadeCommit> {
  const owner = chain.owner.wallet;
  const commit = chain.make(from === undefined ? "one" : "two", from);
  await (await storage.stores.of(owner)).put(commit.blocks);
  await storage.roots.swap({ owner, bucket: "demo" }, from?.commit.cid, commit.commit.cid);
  return commit;
}

export async function packsOf(objects: MemoryMasterObjects, owner: Wallet): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of objects.of(owner).list("pack/")) names.push(name);
  return names;
}

export function collectAt(
  storage: MasterStorage,
  owner: Wallet,
  clock: ManualClock,
  alarm = new RootAlarm(silentLog),
): Promise<CollectionReport> {
  const { roots } = storage;
  const rest = { gate: new SwapGate(), alarm, signal: new AbortController().signal };
  return storage.collect({ roots, clock, ...rest }, owner, false);
}
