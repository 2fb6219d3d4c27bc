/** Masters that share an arbiter and an object store, in memory. */
import { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { SharedStores } from "../../src/master/shared/shared-stores.ts";
import type { MasterObjects } from "../../src/master/shared/pack-objects.ts";
import { systemDatabases } from "../../src/objects/databases.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";

export const LEASE_MS = 24 * 60 * 60 * 1000;

export class MemoryObjects implements MasterObjects {
  readonly address = "memory:";
  readonly top = new MemoryObjectStore();
  readonly #owners = new Map<Wallet, MemoryObjectStore>();
  readonly #nowMs: () => number;

  constructor(clock: Clock) {
    this.#nowMs = () => Number(clock.nowNs() / 1_000_000n);
  }

  of(owner: Wallet): MemoryObjectStore {
    const store = this.#owners.get(owner) ?? new MemoryObjectStore(`memory:${owner}`, this.#nowMs);
    this.#owners.set(owner, store);
    return store;
  }

  async owners(): Promise<Wallet[]> {
    return [...this.#owners.keys()];
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export class SharedWorld {
  readonly clock: Clock;
  readonly arbiter: SqliteArbiter;
  readonly objects: MemoryObjects;
  readonly wentBack: Wallet[] = [];

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
    this.arbiter = new SqliteArbiter("", clock);
    this.objects = new MemoryObjects(clock);
  }

  /** The blocks of one more master. */
  master(): SharedStores {
    return new SharedStores({
      arbiter: this.arbiter,
      objects: this.objects,
      cacheDir: undefined,
      databases: systemDatabases,
      leaseMs: LEASE_MS,
      clock: this.clock,
      random: systemRandom,
      log: silentLog,
      incarnation: () => "1",
      onWentBack: (owner) => this.wentBack.push(owner),
    });
  }
}
