/** How much an owner may store. Bytes that are on their way in count as stored, so that calls at the same time cannot exceed it together. */
import type { Wallet } from "../../base/ids.ts";
import type { BlockStores } from "../store/owner-blocks.ts";
import { Refusal } from "../http/refusal.ts";

export interface StorageState {
  readonly canUpload: boolean;
  readonly usedBytes: number;
  readonly quotaBytes: number | null;
}

export class Quota {
  readonly #stores: BlockStores;
  readonly #quotaBytes: number | undefined;
  readonly #coming = new Map<Wallet, number>();

  /** `quotaBytes` is each owner's; undefined for no limit. */
  constructor(stores: BlockStores, quotaBytes: number | undefined) {
    this.#stores = stores;
    this.#quotaBytes = quotaBytes;
  }

  async stateOf(owner: Wallet): Promise<StorageState> {
    const { usedBytes } = await this.#stores.of(owner);
    const quotaBytes = this.#quotaBytes ?? null;
    return { canUpload: quotaBytes === null || usedBytes < quotaBytes, usedBytes, quotaBytes };
  }

  /** Makes room for `bytes` that are about to be stored; the answered function is called once they are, or are not. Throws `over_quota`. */
  async admit(owner: Wallet, bytes: number): Promise<() => void> {
    const { usedBytes } = await this.#stores.of(owner);
    const coming = this.#coming.get(owner) ?? 0;
    if (this.#quotaBytes !== undefined && usedBytes + coming + bytes > this.#quotaBytes) {
      throw overQuota({ usedBytes, quotaBytes: this.#quotaBytes });
    }
    this.#coming.set(owner, coming + bytes);
    return () => this.#arrived(owner, bytes);
  }

  /** Throws `over_quota` for an owner who has used up all. */
  async check(owner: Wallet): Promise<void> {
    const { canUpload, ...state } = await this.stateOf(owner);
    if (!canUpload) throw overQuota(state);
  }

  #arrived(owner: Wallet, bytes: number): void {
    const left = (this.#coming.get(owner) ?? 0) - bytes;
    if (left > 0) this.#coming.set(owner, left);
    else this.#coming.delete(owner);
  }
}

function overQuota(details: Omit<StorageState, "canUpload">): Refusal {
  return new Refusal("over_quota", "This wallet's storage is full. Ask the master's operator for more.", { details });
}
