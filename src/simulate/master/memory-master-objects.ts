/** The object store that several masters share, in memory. */
import type { Wallet } from "../../base/ids.ts";
import type { MasterObjects } from "../../master/shared/pack-objects.ts";
import { MemoryObjectStore } from "../../objects/memory-object-store.ts";

export class MemoryMasterObjects implements MasterObjects {
  readonly address = "memory:";
  readonly top: MemoryObjectStore;
  readonly #owners = new Map<Wallet, MemoryObjectStore>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.top = new MemoryObjectStore(this.address, nowMs);
  }

  of(owner: Wallet): MemoryObjectStore {
    const store = this.#owners.get(owner) ?? new MemoryObjectStore(`memory:${owner}`, this.#nowMs);
    this.#owners.set(owner, store);
    return store;
  }

  async owners(): Promise<Wallet[]> {
    const owners: Wallet[] = [];
    for (const [owner, store] of this.#owners) if (store.size > 0) owners.push(owner);
    return owners;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
