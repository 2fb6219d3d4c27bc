/** Reads through a cache: missing blocks come from the store below and are kept for the next time. */
import type { Cid } from "../base/ids.ts";
import type { Block, BlockReader, SizedBlock } from "./block-store.ts";
import { blockNotFound } from "./not-found.ts";

/** A cache of blocks, which may forget them. Calls never throw: a failing cache is an empty cache. */
export interface BlockCache {
  /** Those of `cids` that it holds, intact. */
  held(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>>;
  readonly readInto?: NonNullable<BlockReader["readInto"]>;
  readonly readPart?: NonNullable<BlockReader["readPart"]>;
  readonly isAtHand?: NonNullable<BlockReader["isAtHand"]>;
  /** Keeps these blocks if it can, asynchronously. */
  keep(blocks: readonly Block[]): void;
  /**
   * As `keep`, for producers that may outpace the cache's disk: await it before the next call; undefined: no need to. Never
   * waits for a disk that is full, failing or hanging.
   */
  keepInTurn?(blocks: readonly Block[]): Promise<void> | undefined;
}

export class CachedReader implements BlockReader {
  readonly #cache: BlockCache;
  readonly #inner: BlockReader;
  readonly #keeps: (block: Block) => boolean;

  /** `inner` must verify what it reads. `keeps`: which blocks are worth keeping. */
  constructor(cache: BlockCache, inner: BlockReader, keeps: (block: Block) => boolean = () => true) {
    this.#cache = cache;
    this.#inner = inner;
    this.#keeps = keeps;
  }

  async get(cid: Cid): Promise<Uint8Array> {
    const bytes = (await this.getMany([cid])).get(cid);
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = await this.#cache.held(cids);
    const missing = cids.filter((cid) => !found.has(cid));
    if (missing.length === 0) return found;
    const fetched = await this.#inner.getMany(missing);
    const kept = Array.from(fetched, ([cid, bytes]) => ({ cid, bytes })).filter(this.#keeps);
    if (kept.length > 0) this.#cache.keep(kept);
    for (const [cid, bytes] of fetched) found.set(cid, bytes);
    return found;
  }

  async readInto(blocks: readonly SizedBlock[], target: Uint8Array): Promise<number> {
    return (await this.#cache.readInto?.(blocks, target)) ?? 0;
  }

  readPart(block: SizedBlock, offset: number, target: Uint8Array): boolean {
    return this.#cache.readPart?.(block, offset, target) ?? false;
  }

  isAtHand(cid: Cid): boolean {
    return this.#cache.isAtHand?.(cid) ?? false;
  }
}
