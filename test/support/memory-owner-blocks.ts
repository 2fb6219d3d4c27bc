/** Blocks of owners in memory, to test the layers above a master's store. */
import type { Cid, Wallet } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { blockNotFound } from "../../src/blocks/not-found.ts";
import { codecOf, digestKey } from "../../src/format/blocks/cid.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../src/master/limits.ts";
import type { BlockStores, OwnerBlocks, PutCounts } from "../../src/master/store/owner-blocks.ts";

export class MemoryBlockStores implements BlockStores {
  readonly #owners = new Map<Wallet, MemoryOwnerBlocks>();
  readonly leaseSeconds = 24 * 3600;

  async of(wallet: Wallet): Promise<MemoryOwnerBlocks> {
    const owner = this.#owners.get(wallet) ?? new MemoryOwnerBlocks();
    this.#owners.set(wallet, owner);
    return owner;
  }

  async owners(): Promise<Wallet[]> {
    return [...this.#owners].filter(([, { usedBytes }]) => usedBytes > 0).map(([wallet]) => wallet);
  }

  async check(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

export class MemoryOwnerBlocks implements OwnerBlocks {
  /** Errors that the next puts throw, in order: for tests of a failing store. */
  readonly failures: Error[] = [];
  /** The leased blocks, in call order. */
  readonly leases: Cid[] = [];
  readonly #held = new Map<string, Uint8Array>();
  readonly #complete = new Set<Cid>();
  usedBytes = 0;

  async get(cid: Cid): Promise<Uint8Array> {
    const bytes = this.#held.get(digestKey(cid));
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  }

  recent(cid: Cid): Uint8Array | undefined {
    return this.#held.get(digestKey(cid));
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    for (const cid of cids) found.set(cid, await this.get(cid));
    return found;
  }

  async put(blocks: readonly Block[]): Promise<PutCounts> {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    let stored = 0;
    for (const { cid, bytes } of blocks) {
      if (this.#held.has(digestKey(cid))) continue;
      this.#held.set(digestKey(cid), bytes.slice());
      this.usedBytes += bytes.length + BLOCK_OVERHEAD_BYTES;
      stored++;
    }
    return { stored, known: blocks.length - stored };
  }

  async has(cids: readonly Cid[]): Promise<Set<Cid>> {
    return new Set(cids.filter((cid) => this.#held.has(digestKey(cid))));
  }

  async catchUp(): Promise<void> {}

  hold(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.has(cids);
  }

  async era(): Promise<number> {
    return 0;
  }

  async swapped(): Promise<boolean> {
    return true;
  }

  async size(cid: Cid): Promise<number | undefined> {
    return this.#held.get(digestKey(cid))?.length;
  }

  async knownSize(cid: Cid): Promise<number | undefined> {
    return this.size(cid);
  }

  async complete(cids: readonly Cid[]): Promise<Set<Cid>> {
    return new Set(cids.filter((cid) => this.#complete.has(cid)));
  }

  async markComplete(cids: readonly Cid[]): Promise<void> {
    for (const cid of cids) if (codecOf(cid) !== "raw" && this.#held.has(digestKey(cid))) this.#complete.add(cid);
  }

  /** Removes every trace of the block. */
  remove(cid: Cid): void {
    const length = this.#held.get(digestKey(cid))?.length;
    if (length !== undefined) this.usedBytes -= length + BLOCK_OVERHEAD_BYTES;
    this.#held.delete(digestKey(cid));
    this.#complete.clear();
  }

  async lease(cids: readonly Cid[]): Promise<void> {
    this.leases.push(...cids);
  }
}
