/**
 * The blocks of one owner, as a master keeps them: apart from everybody else's, so that nobody learns what others have, and an
 * owner's bytes can be counted, moved or removed alone.
 *
 * The embedded implementation is pack files with an index that can be rebuilt from them.
 */
import type { Cid, Wallet } from "../../base/ids.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";

/** The blocks of all owners of one master. */
export interface BlockStores extends AsyncDisposable {
  /** One owner's blocks, opened once; of an owner who has none it is empty and on disk nothing is made. Throws `store_failed`. */
  of(owner: Wallet): Promise<OwnerBlocks>;
  /** Everybody who has blocks. */
  owners(): Promise<Wallet[]>;
}

export interface OwnerBlocks extends BlockReader {
  /**
   * Stores blocks whose bytes were checked against their CIDs. Resolves when all of them survive power loss; calls that come at
   * the same time share one flush. Throws `disk_full`, `store_failed`; then none of them counts as stored.
   */
  put(blocks: readonly Block[]): Promise<PutCounts>;

  /** Those of `cids` that are stored durably. */
  has(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** The size of a block in bytes, or undefined if it is not there. */
  size(cid: Cid): Promise<number | undefined>;

  /** Those of `cids` (nodes) of which it is known that everything that they reach is stored. Remembered for good. */
  complete(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** Remembers that all that these nodes reach is stored. To be called for children before their parents, or all at once. */
  markComplete(cids: readonly Cid[]): Promise<void>;

  /** Keeps the collector from these blocks for a while, whether a root reaches them or not. */
  lease(cids: readonly Cid[]): Promise<void>;

  /** Bytes of all blocks, each counted once. */
  readonly usedBytes: number;
}

export interface PutCounts {
  /** Blocks that were new. */
  readonly stored: number;
  /** Blocks that were there before, or came twice. */
  readonly known: number;
}
