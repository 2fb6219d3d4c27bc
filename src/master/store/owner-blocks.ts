/**
 * One owner's blocks at a master. Owners are kept apart, so that nobody learns what others store, and an owner's bytes can
 * be counted, moved or removed separately.
 *
 * The embedded implementation is pack files with an index that can be rebuilt from them.
 */
import type { Cid, Wallet } from "../../base/ids.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";
import type { Root } from "../../roots/root-store.ts";
import type { KnownRoots } from "./known-roots.ts";

/** The blocks of all owners of one master. Disposing it ends ongoing work and closes everything. */
export interface BlockStores<Blocks extends OwnerBlocks = OwnerBlocks> extends AsyncDisposable {
  /**
   * One owner's blocks; for an owner without blocks it is empty, and nothing is made on disk. The object is valid until the
   * store is disposed: its files open and close as needed. Throws `store_failed`.
   */
  of(owner: Wallet): Promise<Blocks>;

  /** How long blocks stay that no root reaches, in seconds. */
  readonly leaseSeconds: number;

  /** All owners with blocks. */
  owners(): Promise<Wallet[]>;

  /** Cheap, for health checks. Throws if the storage cannot be used. */
  check(): Promise<void>;
}

/** Allocates memory to read so many bytes into. */
export type Room = (length: number) => Buffer;

export interface OwnerBlocks extends BlockReader {
  /** With `room`: blocks are views of it, each with up to READ_GAP_BYTES extra. Failed calls may still write there. */
  get(cid: Cid, room?: Room): Promise<Uint8Array>;
  getMany(cids: readonly Cid[], room?: Room): Promise<Map<Cid, Uint8Array>>;

  /** A small, recently stored node that is still in memory. Does not check the disk, even for damage. */
  recent(cid: Cid): Uint8Array | undefined;

  /**
   * Stores blocks whose bytes were checked against their CIDs. Resolves when all are durable; concurrent calls share one
   * flush. A block found damaged since it was stored counts as new. Throws `limit_exceeded` for a block over 4 MiB;
   * `disk_full`, `store_failed`: then some may be stored, and `has` says which.
   */
  put(blocks: readonly Block[]): Promise<PutCounts>;

  /** Those of `cids` stored durably and not known as damaged. Raw and dag-cbor blocks of the same bytes are one. */
  has(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** The size of a block in bytes, or undefined if it cannot be read. */
  size(cid: Cid): Promise<number | undefined>;

  /** As `size`, but cheap where the block is missing: what other masters stored in the last minute may be missing, too. */
  knownSize(cid: Cid): Promise<number | undefined>;

  /**
   * Those of `cids` (nodes) known to have everything they reach stored (for a commit: except its list of kept commits).
   * This may be forgotten, after damage or when a collection did not reach the node; a walk then finds it out again. Raw
   * CIDs are never included.
   */
  complete(cids: readonly Cid[]): Promise<Set<Cid>>;

  /**
   * Records that everything these nodes reach was stored in this era. Children before parents, or all at once; stored nodes
   * only. Does nothing once the era is over.
   */
  markComplete(cids: readonly Cid[], era: number): Promise<void>;

  /**
   * The era of what `complete` and `hold` tell from now on: blocks that they name are there as long as it lasts. Always 0
   * where collections and swaps wait for each other.
   */
  era(): Promise<number>;

  /** As `has`, and keeps a running collection from deleting the blocks it returns. */
  hold(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** Keeps these blocks from collection for a while, even if no root reaches them. */
  lease(cids: readonly Cid[]): Promise<void>;

  /** Records a swap of a bucket's root. False: newer roots of it were known, so the table of roots went back. */
  swapped(bucket: string, root: Root): Promise<boolean>;

  /** What a quota counts: bytes of all blocks, each counted once, and BLOCK_OVERHEAD_BYTES for each. */
  readonly usedBytes: number;

  /** Learns of what other masters changed, unless it did so lately. Throws `arbiter_unreachable`. */
  catchUp(): Promise<void>;
}

/** Blocks that only this master stores, swaps and collects. */
export interface CollectedBlocks extends OwnerBlocks {
  /**
   * Collects garbage: `work` marks what must stay, and sweeps. One collection at a time. If nothing is stored, returns
   * undefined without running `work`.
   */
  collect<Result>(work: (collecting: Collecting) => Promise<Result>): Promise<Result | undefined>;
}

export type WalkedBlocks = Pick<OwnerBlocks, "get" | "size" | "hold" | "complete" | "markComplete">;

/** A collection of one owner's garbage: first everything that must stay is marked, then the rest is deleted. */
export interface Collecting {
  /** For a walk that marks: nodes count as complete once they are marked with everything below them. */
  readonly marks: WalkedBlocks;

  /** Marked blocks so far, and stored ones, including garbage, which is never marked. */
  readonly progress: CollectionProgress;

  /** Aborted when the collection must end because its files have to close and other work waits for that. */
  readonly signal: AbortSignal;

  /** Known roots, independent of the table of roots. */
  readonly roots: Pick<KnownRoots, "list" | "advance">;

  /** Keeps these blocks, but not what they link to. */
  protect(cids: readonly Cid[]): Promise<void>;

  /** Whether it is kept so far: marked as a node or a chunk, or protected. */
  isProtected(cid: Cid): boolean;

  /**
   * From now on only marked nodes count as complete. At this moment no swap may be between its check and its end, and
   * everything that roots reach must be marked.
   */
  beginSweep(): void;

  /** Deletes what is neither marked nor leased. If aborted, the rest is left for the next time. */
  sweep(signal: AbortSignal): Promise<Swept>;

  /** What `sweep` would delete now; changes nothing. */
  preview(signal: AbortSignal): Promise<Swept>;

  /** Which packs have enough garbage to be rewritten, how much that copies, and what remains. */
  plan(swept: Swept): RepackPlan;

  /** Rewrites these packs. Returns what was done: less if a pack turns out damaged or space runs out. */
  repack(plan: RepackPlan, swept: Swept, signal: AbortSignal): Promise<RepackPlan>;
}

export interface CollectionProgress {
  readonly blocks: number;
  readonly of: number;
}

export interface Swept {
  /** Deleted blocks. */
  readonly blocks: number;
  readonly bytes: number;
  /** Packs that existed when it began, by name. */
  readonly packs: ReadonlyMap<string, SweptPack>;
}

export interface SweptPack {
  /** Bytes of its blocks when the sweep began, and of those that stay. */
  readonly end: number;
  readonly live: number;
  /** It is sealed, and none of its blocks stays, not even an empty one. */
  readonly empty: boolean;
}

export interface RepackPlan {
  /** By name: bytes of blocks that must be copied. */
  readonly packs: ReadonlyMap<string, number>;
  /** Packs and bytes of their blocks, before and after: planned, or as actually done. */
  readonly before: { readonly packs: number; readonly bytes: number };
  readonly after: { readonly packs: number; readonly bytes: number };
}

/** What the files provide. */
export type FiledBlocks = Omit<CollectedBlocks, "recent" | "era" | "catchUp" | "knownSize">;

export interface PutCounts {
  /** Blocks that were new. */
  readonly stored: number;
  /** Blocks that were already stored, or duplicates. */
  readonly known: number;
}
