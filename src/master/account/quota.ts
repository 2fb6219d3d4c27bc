/** How much an owner may store. Bytes in flight count as stored, so concurrent calls cannot exceed it together. */
import type { Wallet } from "../../base/ids.ts";
import type { Block } from "../../blocks/block-store.ts";
import type { BlockStores } from "../store/owner-blocks.ts";
import { BLOCK_OVERHEAD_BYTES, QUOTA_RESERVE_BYTES, QUOTA_RESERVE_PART } from "../limits.ts";
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

  /**
   * Reserves room for blocks; call the returned function when they are stored or given up. `nodesOnly`: they may use the
   * reserve. Throws `over_quota`.
   */
  async admit(owner: Wallet, coming: readonly Block[], nodesOnly = false): Promise<() => void> {
    const quotaBytes = this.#quotaBytes;
    if (quotaBytes === undefined) return () => {};
    const limit = nodesOnly ? withReserve(quotaBytes) : quotaBytes;
    let bytes = bytesOf(coming);
    // Blocks that are stored already take no more room. They are looked up only where the rest would not fit.
    if (!(await this.#hasRoom(owner, bytes, limit))) bytes = bytesOf(await this.#missing(owner, coming));
    const usedBytes = await this.#usedBytes(owner);
    const others = this.#coming.get(owner) ?? 0;
    if (bytes > 0 && usedBytes + others + bytes > limit) throw overQuota({ usedBytes, quotaBytes });
    this.#coming.set(owner, others + bytes);
    return () => this.#arrived(owner, bytes);
  }

  async #hasRoom(owner: Wallet, bytes: number, limit: number): Promise<boolean> {
    return (await this.#usedBytes(owner)) + (this.#coming.get(owner) ?? 0) + bytes <= limit;
  }

  async #missing(owner: Wallet, coming: readonly Block[]): Promise<Block[]> {
    const known = await (await this.#stores.of(owner)).has(coming.map(({ cid }) => cid));
    return coming.filter(({ cid }) => !known.has(cid));
  }

  /** Throws `over_quota` if the owner's quota is used up. */
  async check(owner: Wallet): Promise<void> {
    if (this.#quotaBytes === undefined) return;
    const { canUpload, ...state } = await this.stateOf(owner);
    if (!canUpload) throw overQuota(state);
  }

  /** The refusal for contents, if the quota is used up. Throws it if the reserve is used up, too. */
  async refusalOfContents(owner: Wallet): Promise<Refusal | undefined> {
    if (this.#quotaBytes === undefined) return undefined;
    const { canUpload, ...state } = await this.stateOf(owner);
    if (canUpload) return undefined;
    const refusal = overQuota(state);
    if (state.usedBytes >= withReserve(this.#quotaBytes)) throw refusal;
    return refusal;
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

function bytesOf(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes.length + BLOCK_OVERHEAD_BYTES, 0);
}

/**
 * How far nodes and commits may go. Deleting needs a commit, so commits must fit when contents no longer do.
 */
function withReserve(quotaBytes: number): number {
  return quotaBytes + Math.max(QUOTA_RESERVE_BYTES, Math.floor(quotaBytes / QUOTA_RESERVE_PART));
}

function overQuota(details: Omit<StorageState, "canUpload">): Refusal {
  return new Refusal("over_quota", "This wallet's storage is full. Ask the master's operator for more.", { details });
}
