/**
 * Blocks that are durable in their packs but could not be indexed, as on a full disk. They are kept in memory and entered
 * once the index can be written. After a restart recovery finds them again.
 */
import { BLOCK_OVERHEAD_BYTES, MAX_UNINDEXED } from "../limits.ts";
import { digestText } from "../../format/blocks/cid.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { BlockIndex, IndexedPack, PackPlacement } from "./block-index.ts";

export interface UnindexedBatch {
  readonly pack: IndexedPack;
  readonly rows: readonly PackRow[];
}

export class Unindexed {
  /** In the order of writing: a pack's last batch tells how far it has come. */
  #batches: UnindexedBatch[] = [];
  readonly #places = new Map<string, PackPlacement>();
  #bytes = 0;

  get size(): number {
    return this.#places.size;
  }

  /** As OwnerBlocks.usedBytes, of these blocks. */
  get usedBytes(): number {
    return this.#bytes + this.#places.size * BLOCK_OVERHEAD_BYTES;
  }

  /** Whether the index must take these before more is stored. */
  get tooMany(): boolean {
    return this.#places.size > MAX_UNINDEXED;
  }

  find(digest: Uint8Array): PackPlacement | undefined {
    return this.#places.size === 0 ? undefined : this.#places.get(digestText(digest));
  }

  add(batch: UnindexedBatch): void {
    this.#batches.push(batch);
    for (const { digest, offset, length } of batch.rows) {
      this.#places.set(digestText(digest), { pack: batch.pack.name, offset, length });
      this.#bytes += length;
    }
  }

  /** Enters all of them. Throws SQLite's errors; the remaining ones then stay here. */
  enterInto(index: BlockIndex, leased: number): void {
    for (let next = this.#batches[0]; next !== undefined; next = this.#batches[0]) {
      index.add(next.pack, next.rows, leased);
      this.#batches.shift();
      for (const { digest, length } of next.rows) {
        this.#places.delete(digestText(digest));
        this.#bytes -= length;
      }
    }
  }
}
