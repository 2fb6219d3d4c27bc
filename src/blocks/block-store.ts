/**
 * Blocks: immutable bytes under their CID. The port that everything above reads and writes through.
 *
 * Implementations: memory (tests), disk (cache), packed (a bucket in an object store), http. Decorators: verify,
 * retry, cache. All stores pass test/contract/block-store.ts.
 */
import type { Cid } from "../base/ids.ts";

export interface Block {
  readonly cid: Cid;
  readonly bytes: Uint8Array;
  /** The receiver owns the bytes, and may free them (`freeBytes`) once they are stored. */
  readonly isHandedOver?: boolean;
}

/** A block and its number of bytes. */
export interface SizedBlock {
  readonly cid: Cid;
  readonly length: number;
}

export interface BlockReader {
  /** The block's bytes. Throws `block_not_found`, `block_corrupt`, `store_unreachable`. */
  get(cid: Cid): Promise<Uint8Array>;
  /** Several at once, fetched in as few requests as the layout allows. Throws as `get` if any is missing. */
  getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>>;
  /**
   * Copies the longest prefix of these blocks that is ready on this machine into `target`, back to back, and returns its
   * bytes; `target` has room for all, and its rest is undefined. Copies intact blocks only; never throws. Use `getMany` for
   * the others.
   */
  readInto?(blocks: readonly SizedBlock[], target: Uint8Array): Promise<number>;
  /**
   * Fills `target` with the bytes at `offset` of a block, if they are in this machine's memory and the block is known to be
   * intact. False: `target` is undefined; use `getMany`. Never waits, never throws.
   */
  readPart?(block: SizedBlock, offset: number, target: Uint8Array): boolean;
  /** Whether `readPart` can probably copy from this block. */
  isAtHand?(cid: Cid): boolean;
}

/**
 * Takes new blocks. `put` may return a promise: the producer waits for it before it makes more (back-pressure). Putting a
 * block twice is harmless.
 */
export interface BlockSink {
  put(block: Block): void | Promise<void>;
}

export interface BlockStore extends BlockReader, BlockSink {
  /** Those of `cids` that the store holds. */
  has(cids: readonly Cid[]): Promise<Set<Cid>>;
}

/**
 * Thrown by synchronous readers (`peekGet`, `peekRange`, `peekContent`) when blocks are not in memory: load them and retry,
 * which is safe since operations read everything before they change anything (docs/design/architecture.md).
 */
export class BlockMiss extends Error {
  readonly cids: readonly Cid[];
  /** How many of `cids`, from the first on, the call requires; the others are worth reading along. */
  readonly needed: number;
  constructor(cids: readonly Cid[], needed: number = cids.length) {
    super("blocks are not in memory");
    this.name = "BlockMiss";
    this.cids = cids;
    this.needed = needed;
  }
}
