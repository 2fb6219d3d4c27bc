/** The object store that several masters share, in memory. */
import type { Wallet } from "../../base/ids.ts";
import type { MasterObjects } from "../../master/shared/pack-objects.ts";
import { MemoryObjectStore } from "../../objects/memory-object-store.ts";

export class MemoryMasterObjects implements MasterObjects {
  readonly address = "memory:";
  readonly top = new MemoryObjectStore();
  readonly #owners = new Map<Wallet, MemoryObjectStore>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
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
