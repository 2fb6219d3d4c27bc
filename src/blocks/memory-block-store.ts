/** Blocks in memory: for tests, and for data too small or short-lived for a disk. */
import type { Cid } from "../base/ids.ts";
import type { Block, BlockStore } from "./block-store.ts";
import { blockNotFound } from "./not-found.ts";

export class MemoryBlockStore implements BlockStore {
  readonly #held = new Map<Cid, Uint8Array>();

  /** All blocks, in order of insertion. */
  get blocks(): ReadonlyMap<Cid, Uint8Array> {
    return this.#held;
  }

  async get(cid: Cid): Promise<Uint8Array> {
    const bytes = this.#held.get(cid);
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    for (const cid of cids) found.set(cid, await this.get(cid));
    return found;
  }

  async has(cids: readonly Cid[]): Promise<Set<Cid>> {
    return new Set(cids.filter((cid) => this.#held.has(cid)));
  }

  put({ cid, bytes }: Block): void {
    this.#held.set(cid, bytes);
  }
}
