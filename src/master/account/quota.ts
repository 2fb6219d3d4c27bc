/** How much an owner may store. Bytes in flight count as stored, so concurrent calls cannot exceed it together. */
import type { Wallet } from "../../base/ids.ts";
import { BLOCK_OVERHEAD_BYTES } from "../limits.ts";
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

  /** `quotaBytes` applies to each owner; undefined: no limit. */
  constructor(stores: BlockStores, quotaBytes: number | undefined) {
    this.#stores = stores;
    this.#quotaBytes = quotaBytes;
  }

  async stateOf(owner: Wallet): Promise<StorageState> {
    const usedBytes = await this.#usedBytes(owner);
    const quotaBytes = this.#quotaBytes ?? null;
    return { canUpload: quotaBytes === null || usedBytes < quotaBytes, usedBytes, quotaBytes };
  }

  /** Reserves room for blocks; call the returned function when they are stored or given up. Throws `over_quota`. */
  async admit(owner: Wallet, coming: { readonly blocks: number; readonly bytes: number }): Promise<() => void> {
    const quotaBytes = this.#quotaBytes;
    if (quotaBytes === undefined) return () => {};
    const bytes = coming.bytes + coming.blocks * BLOCK_OVERHEAD_BYTES;
    const usedBytes = await this.#usedBytes(owner);
    const others = this.#coming.get(owner) ?? 0;
    if (usedBytes + others + bytes > quotaBytes) throw overQuota({ usedBytes, quotaBytes });
    this.#coming.set(owner, others + bytes);
    return () => this.#arrived(owner, bytes);
  }

  /** Throws `over_quota` if the owner's quota is used up. */
  async check(owner: Wallet): Promise<void> {
    if (this.#quotaBytes === undefined) return;
    const { canUpload, ...state } = await this.stateOf(owner);
    if (!canUpload) throw overQuota(state);
  }

  async #usedBytes(owner: Wallet): Promise<number> {
    const blocks = await this.#stores.of(owner);
    await blocks.catchUp();
    return blocks.usedBytes;
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
