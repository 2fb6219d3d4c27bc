/**
 * The blocks of one owner, as a master keeps them: apart from everybody else's, so that nobody learns what others have, and an
 * owner's bytes can be counted, moved or removed alone.
 *
 * The embedded implementation is pack files with an index that can be rebuilt from them.
 */
import type { Cid, Wallet } from "../../base/ids.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";

/** The blocks of all owners of one master. Disposing it ends what is under way and closes everything. */
export interface BlockStores extends AsyncDisposable {
  /**
   * One owner's blocks; of an owner who has none it is empty and on disk nothing is made. The object stays good until the store is
   * disposed: the files behind it are opened when they are needed and closed when they are not. Throws `store_failed`.
   */
  of(owner: Wallet): Promise<OwnerBlocks>;

  /** Everybody who has blocks. */
  owners(): Promise<Wallet[]>;
}

/** Memory for so many bytes that are read. */
export type Room = (length: number) => Buffer;

export interface OwnerBlocks extends BlockReader {
  /** With `room`: blocks are views of what it answers, which has READ_GAP_BYTES more for each of them at most. After a failure it may still be written to. */
  get(cid: Cid, room?: Room): Promise<Uint8Array>;
  getMany(cids: readonly Cid[], room?: Room): Promise<Map<Cid, Uint8Array>>;

  /**
   * Stores blocks whose bytes were checked against their CIDs. Resolves when all of them survive power loss; calls that come at
   * the same time share one flush. A block that was found damaged since it was stored counts as new. Throws `limit_exceeded` for a
   * block over 4 MiB; `disk_full`, `store_failed`: then some of them may be stored, and `has` says which.
   */
  put(blocks: readonly Block[]): Promise<PutCounts>;

  /** Those of `cids` that are stored durably, and were not found damaged since. Raw and dag-cbor blocks of the same bytes are one. */
  has(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** The size of a block in bytes, or undefined if `has` would not name it. */
  size(cid: Cid): Promise<number | undefined>;

  /**
   * Those of `cids` (nodes) of which it is known that everything that they reach is stored. Remembered for good, except that it may be
   * forgotten after damage: then a walk finds it out again. Raw CIDs are never among them.
   */
  complete(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** Remembers that all that these nodes reach is stored. For children before their parents, or all at once; stored nodes only. */
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
