/**
 * The blocks of one owner, as a master keeps them: apart from everybody else's, so that nobody learns what others have, and an
 * owner's bytes can be counted, moved or removed alone.
 *
 * The embedded implementation is pack files with an index that can be rebuilt from them.
 */
import type { Cid, Wallet } from "../../base/ids.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";
import type { Root } from "../../roots/root-store.ts";
import type { KnownRoots } from "./known-roots.ts";

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

  /** A small node that was stored a moment ago and is in memory still: no disk is asked for it, nor whether it is damaged there. */
  recent(cid: Cid): Uint8Array | undefined;

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
   * Those of `cids` (nodes) of which it is known that everything that they reach is stored (of a commit: but for its list of kept
   * commits). It may be forgotten, after damage, or when a collection did not reach the node: then a walk finds it out again. Raw
   * CIDs are never among them.
   */
  complete(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** Remembers that all that these nodes reach is stored. For children before their parents, or all at once; stored nodes only. */
  markComplete(cids: readonly Cid[]): Promise<void>;

  /** As `has`, and keeps a collection that is under way from taking what it names. */
  hold(cids: readonly Cid[]): Promise<Set<Cid>>;

  /** Keeps the collector from these blocks for a while, whether a root reaches them or not. */
  lease(cids: readonly Cid[]): Promise<void>;

  /**
   * Collects garbage: `work` marks what must stay, and sweeps. One collection at a time. Undefined, and nothing done, where
   * nothing is stored.
   */
  collect<Result>(work: (collecting: Collecting) => Promise<Result>): Promise<Result | undefined>;

  /** Says that a swap of a bucket's root was carried out. False: newer roots of it were known, so that the table of roots went back. */
  swapped(bucket: string, root: Root): Promise<boolean>;

  /** Bytes of all blocks, each counted once. */
  readonly usedBytes: number;
}

/** What a walk needs that finds out whether all is stored that a block reaches. */
export type WalkedBlocks = Pick<OwnerBlocks, "get" | "size" | "hold" | "complete" | "markComplete">;

/** A collection of one owner's garbage: first everything is marked that must stay, then what is not marked goes. */
export interface Collecting {
  /** A walk that goes through these marks: nodes count as complete that were marked with all below them. */
  readonly marks: WalkedBlocks;

  /** Blocks that are marked so far, and those that are stored: garbage, too, which is never marked. */
  readonly progress: CollectionProgress;

  /** Fires when it has to end, since the files that it works on are to be closed and everybody else waits for that. */
  readonly signal: AbortSignal;

  /** What is known of the owner's roots apart from the table of roots. */
  readonly roots: Pick<KnownRoots, "list" | "advance">;

  /** Keeps these blocks, and not what they link to. */
  protect(cids: readonly Cid[]): Promise<void>;

  /** Whether it is kept so far: marked as a node or a chunk, or protected. */
  isProtected(cid: Cid): boolean;

  /**
   * From now on nothing counts as complete that is not marked. No swap may be between its check and its end at this moment, and all
   * that roots reach must be marked.
   */
  beginSweep(): void;

  /** Forgets what is neither marked nor leased. Where it is aborted, what is left is left for the next time. */
  sweep(signal: AbortSignal): Promise<Swept>;

  /** What `sweep` would find now, which changes nothing. */
  preview(signal: AbortSignal): Promise<Swept>;

  /** Which packs have so much garbage that they are written anew, what that copies, and what is left. */
  plan(swept: Swept): RepackPlan;

  /** Writes these packs anew. Answers what was done, which is less where a pack turns out to be damaged or there is no space for copies. */
  repack(plan: RepackPlan, swept: Swept, signal: AbortSignal): Promise<RepackPlan>;
}

export interface CollectionProgress {
  readonly blocks: number;
  readonly of: number;
}

export interface Swept {
  /** Blocks that are gone. */
  readonly blocks: number;
  readonly bytes: number;
  /** Packs that were there when it began, by name. */
  readonly packs: ReadonlyMap<string, SweptPack>;
}

export interface SweptPack {
  /** Bytes of blocks in it when the sweep began, and those of them that stay. */
  readonly end: number;
  readonly live: number;
  /** It is sealed, and no block in it stays, an empty one neither. */
  readonly empty: boolean;
}

export interface RepackPlan {
  /** By name: bytes of blocks in it that must be copied. */
  readonly packs: ReadonlyMap<string, number>;
  /** Packs, and bytes of blocks in them, before and after: as it should come about, or once it was done as it is. */
  readonly before: { readonly packs: number; readonly bytes: number };
  readonly after: { readonly packs: number; readonly bytes: number };
}

/** What the files alone give. */
export type FiledBlocks = Omit<OwnerBlocks, "recent">;

export interface PutCounts {
  /** Blocks that were new. */
  readonly stored: number;
  /** Blocks that were there before, or came twice. */
  readonly known: number;
}
