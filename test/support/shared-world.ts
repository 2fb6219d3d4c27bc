/** Masters that share an arbiter and an object store, in memory. */
import type { Arbiter } from "../../src/arbiter/arbiter.ts";
import { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { CollectionReport } from "../../src/master/gc/collection.ts";
import { BucketRoots } from "../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../src/master/roots/root-alarm.ts";
import { collectShared } from "../../src/master/shared/shared-collection.ts";
import { SharedStores } from "../../src/master/shared/shared-stores.ts";
import { type Databases, systemDatabases } from "../../src/objects/databases.ts";
import type { RootTable } from "../../src/roots/root-store.ts";
import type { ObjectStore } from "../../src/objects/object-store.ts";
import { MemoryMasterObjects } from "../../src/simulate/master/memory-master-objects.ts";

export const LEASE_MS = 24 * 60 * 60 * 1000;

/** One master's blocks and swaps, without HTTP. */
export interface SharedMaster {
  readonly stores: SharedStores;
  readonly swaps: BucketRoots;
  collect(owner: Wallet, dryRun?: boolean): Promise<CollectionReport>;
}

export class SharedWorld {
  readonly clock: Clock;
  readonly arbiter: SqliteArbiter;
  readonly objects: MemoryMasterObjects;
  readonly wentBack: Wallet[] = [];
  /** Of the arbiter, as the masters know it. */
  incarnation = "1";
  /** Awaited before and after each change that a collection makes, where it may throw, and before each swap. */
  onStep: (step: string) => Promise<void> = async () => {};

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
    this.arbiter = new SqliteArbiter("", clock);
    this.objects = new MemoryMasterObjects(() => Number(clock.nowNs() / 1_000_000n));
  }

  /** The blocks of one more master, with its cache in a folder, or in memory. */
  stores(cacheDir?: string, databases: Databases = systemDatabases): SharedStores {
    const { clock, objects, arbiter } = this;
    return new SharedStores({
      arbiter,
      objects,
      cacheDir,
      databases,
      leaseMs: LEASE_MS,
      clock,
      random: systemRandom,
      log: silentLog,
      incarnation: () => this.incarnation,
      onWentBack: async (owner) => void this.wentBack.push(owner),
    });
  }

  /** One more master, with nothing in its cache. */
  master(): SharedMaster {
    const { clock, arbiter } = this;
    const stores = this.stores();
    const alarm = new RootAlarm(silentLog);
    const roots: RootTable = {
      ...arbiter.roots,
      swapInEra: async (...call) => {
        await this.onStep("before swap");
        return arbiter.roots.swapInEra(...call);
      },
    };
    const swaps = new BucketRoots({ roots, stores, clock, log: silentLog, alarm, compareAndSwap: true });
    return {
      stores,
      swaps,
      collect: async (owner, dryRun = false) => {
        const signal = new AbortController().signal;
        const blocks = await stores.of(owner);
        const common = { owner, blocks, databases: systemDatabases, leaseMs: LEASE_MS, clock, log: silentLog, signal };
        const stepped = { ...common, alarm, arbiter: this.#steppedArbiter(), objects: this.#steppedObjects(owner) };
        return collectShared(stepped, dryRun);
      },
    };
  }

  #steppedArbiter(): Arbiter {
    const { packs, roots } = this.arbiter;
    const stepped: Partial<Arbiter> = {
      roots,
      packs: {
        ...packs,
        change: (...call) => this.#after("change", () => packs.change(...call)),
        restore: (...call) => this.#after("restore", () => packs.restore(...call)),
        giveUp: (...call) => this.#after("give up", () => packs.giveUp(...call)),
        disown: (...call) => this.#after("disown", () => packs.disown(...call)),
      },
    };
    return stepped as Arbiter;
  }

  #steppedObjects(owner: Wallet): ObjectStore {
    const store = this.objects.of(owner);
    return new Proxy(store, {
      get: (target, name) => {
        if (name === "delete") return (object: string) => this.#after("delete", () => target.delete(object));
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  async #after<Result>(step: string, work: () => Promise<Result>): Promise<Result> {
    await this.onStep(`before ${step}`);
    const result = await work();
    await this.onStep(`after ${step}`);
    return result;
  }
}
