/** The storage of a master without state of its own: an arbiter, a store of packs, and a cache that may be deleted. */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { MASTER_LEASE_MS } from "../../base/limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { closeAll } from "../../base/resources.ts";
import type { Databases } from "../../objects/databases.ts";
import { allRoots } from "../../roots/root-store.ts";
import type { CollectionContext, CollectionReport } from "../gc/collection.ts";
import type { MasterStorage } from "../storage.ts";
import { AcceptedPast } from "./accepted-past.ts";
import { PackAdoption } from "./adopt-packs.ts";
import { Announcements } from "./announcements.ts";
import { requireItsStore, takeItsStore } from "./its-store.ts";
import type { MasterObjects } from "./pack-objects.ts";
import { collectShared } from "./shared-collection.ts";
import { SharedRevocations } from "./shared-revocations.ts";
import { SharedStores } from "./shared-stores.ts";

export interface SharedStorageOptions extends Ports {
  /** Both are owned by the storage, which closes them. */
  readonly arbiter: Arbiter;
  readonly objects: MasterObjects;
  /** A folder of this process only; undefined: in memory. */
  readonly cacheDir: string | undefined;
  readonly databases: Databases;
  /** How long blocks stay that no root reaches. */
  readonly leaseSeconds?: number | undefined;
  /** Accepts the arbiter even if it was restored or replaced. */
  readonly acceptRoots?: boolean | undefined;
}

/** Stands for all buckets: an arbiter that went back may lack any. */
const ALL = ["all"] as const;

/** Throws `arbiter_unreachable`, and the store's errors; nothing is left open then. */
export async function openSharedStorage(options: SharedStorageOptions): Promise<MasterStorage> {
  const open: (Disposable | AsyncDisposable)[] = [options.arbiter, options.objects];
  try {
    return { ...(await openParts(options, open)), [Symbol.asyncDispose]: () => closeAll(open) };
  } catch (error) {
    await closeAll(open);
    throw error;
  }
}

async function openParts(options: SharedStorageOptions, open: (Disposable | AsyncDisposable)[]) {
  const { arbiter, objects, clock, log, random, databases, cacheDir, acceptRoots = false } = options;
  const leaseMs = options.leaseSeconds === undefined ? MASTER_LEASE_MS : options.leaseSeconds * 1_000;
  await requireItsStore(arbiter, objects);
  const past = await AcceptedPast.open({ arbiter, store: objects.top, clock, log });
  open.push(past);
  if (acceptRoots) await past.requireSilence();
  // Packs that the arbiter lost may still be in the store, and must not be taken for garbage.
  const adoption = new PackAdoption({ arbiter, objects, clock, log });
  open.push(adoption);
  const stores = new SharedStores({
    arbiter,
    objects,
    cacheDir,
    databases,
    leaseMs,
    clock,
    random,
    log,
    incarnation: () => past.incarnation,
    onWentBack: async (owner) => {
      log.error("the arbiter lacks packs that it had: nothing is collected until it is accepted", { owner });
      await past.refuse();
    },
    isLogWhole: async () => {
      await past.look();
      return !adoption.isRunning;
    },
  });
  open.push(stores);
  let others: Announcements | undefined;
  past.onDisplaced = () => {
    const failed = (error: unknown) => log.warn("cannot list the owners", { error: describeError(error) });
    void arbiter.packs
      .owners()
      .then((owners) => others?.onWentBack(owners))
      .catch(failed);
  };
  past.onNew = () => {
    stores.renew();
    adoption.begin();
    if (!past.isAccepted) past.onDisplaced();
  };
  if (!past.isAccepted || acceptRoots) await adoption.run();
  if (acceptRoots) {
    await past.accept();
    await forgetNewerRoots(arbiter, stores);
  }
  if (past.isAccepted) await takeItsStore(arbiter, objects, random);
  for (const doubt of await arbiter.doubts()) log.warn(doubt);
  const revocations = await SharedRevocations.open(arbiter.revoked, clock, log);
  open.push(revocations);
  others = new Announcements({ arbiter, leaseSeconds: leaseMs / 1_000, clock, log, random });
  open.push(others);
  const collect = async (call: CollectionContext, owner: Wallet, dryRun: boolean): Promise<CollectionReport> => {
    const { onProgress, alarm } = call;
    const accepted = await past.demand().catch((error: unknown) => {
      if (hasCode(error, "root_rolled_back")) alarm.raise(owner, ALL);
      throw error;
    });
    await using lease = await arbiter.lease(`gc/${owner}`);
    if (lease === undefined) throw busy();
    const signal = AbortSignal.any([call.signal, lease.signal, accepted]);
    const blocks = await stores.of(owner);
    const tools = { arbiter, objects: objects.of(owner), blocks, databases, leaseMs, clock, log };
    return await collectShared({ owner, ...tools, alarm, signal, onProgress }, dryRun);
  };
  const rolledBack = new Map<Wallet, readonly string[]>();
  if (!past.isAccepted) for (const owner of await arbiter.packs.owners()) rolledBack.set(owner, ALL);
  return { arbiter: arbiter.address, roots: arbiter.roots, revocations, stores, rolledBack, collect, others };
}

/** The caches of this master know roots that the accepted table lacks. */
async function forgetNewerRoots(arbiter: Arbiter, stores: SharedStores): Promise<void> {
  for (const owner of await arbiter.packs.owners()) {
    const rows = await allRoots(arbiter.roots, owner);
    const blocks = await stores.of(owner);
    await blocks.repair.run(async () => blocks.cache.roots.accept(rows));
  }
}

function busy(): SynclineError {
  return new SynclineError("bucket_locked", "Another master collects this owner's garbage.", {
    hint: "Nothing to do: ask again later.",
  });
}
