/**
 * A bucket as its storage offers it: blocks and one root that is swapped. `file://` and `s3://` are one implementation
 * (PackedRemote over an ObjectStore); a master over HTTP is another.
 */
import type { Cid } from "../base/ids.ts";
import type { Block, BlockReader } from "../blocks/block-store.ts";
import type { RootPointer } from "../format/blocks/root-object.ts";
import type { Turn } from "../objects/object-store.ts";
import type { Root, SwapOutcome } from "../roots/root-store.ts";

export interface BucketRemote extends AsyncDisposable {
  /** For people: the bucket's address without credentials. */
  readonly address: string;

  /** The signed genesis block, unverified. Throws `no_such_bucket`, `store_unreachable`. */
  readGenesis(): Promise<Uint8Array>;

  /**
   * Makes the bucket: its first commit becomes the root, whose blocks hold the genesis too; then the genesis is stored where
   * `readGenesis` looks first. False, and nothing changed, if it exists.
   */
  create(genesis: Block, first: Upload): Promise<boolean>;

  /** The current root, or undefined when the bucket does not exist. Throws `arbiter_unreachable`. */
  readRoot(): Promise<Root | undefined>;

  /** All blocks reachable from any kept root. After a 404 it reloads the root once by itself. */
  readonly blocks: BlockReader;

  /**
   * Starts an upload on top of `expected`: content blocks are streamed into it, tree nodes staged. Several swaps may be
   * tried from one session; blocks that it already uploaded are not sent again.
   */
  beginUpload(): UploadSession;

  /** Forgets what was read of where blocks lie, which may have been damaged on the way. */
  forgetPlacement?(): void;

  /**
   * Says on which root this writer's unpublished changes stand, so that collections retain it; undefined: on none any more. Absent where
   * nobody keeps such a note. Throws as the store does.
   */
  holdBase?(base: RootPointer | undefined): Promise<void>;

  /**
   * Waits in line with other writers who find that they get in each other's way; to be disposed when the swap is through. Advisory: a
   * swap needs no turn, and it never rejects. Undefined where there is no line, and for who waited in it in vain.
   */
  takeTurn?(): Promise<BucketTurn | undefined> | undefined;

  /** Calls `changed` when the root may have moved (watched and polled), until disposed. */
  watch(changed: () => void): Disposable;
}

export interface BucketTurn extends Turn {
  /** The root when the turn began, where that came with it. */
  readonly root?: Root | undefined;
}

/** A commit together with the blocks that it reaches and the store may lack. */
export interface Upload {
  readonly commit: Block;
  /** In tree order. Nodes (dag-cbor) and content (raw). */
  readonly blocks: Iterable<Block> | AsyncIterable<Block>;
}

export interface UploadSession extends AsyncDisposable {
  /**
   * Takes content blocks as they are made; packs leave as they fill (a lease protects them). Dropped if the session or the
   * bucket holds the block already.
   */
  putContent(block: Block): Promise<void>;

  /** Reads back what this session took but no root reaches yet, else from the bucket. */
  readonly blocks: BlockReader;

  /**
   * Makes `upload.commit` and everything that it needs durable in the store, on top of `expected`, so that only the swap
   * is left. Throws `store_unreachable`, `disk_full`, `root_moved` (a dedup hit is gone: prepare again from the current root).
   */
  prepare(expected: Root, upload: Upload): Promise<PreparedSwap>;
}

export interface PreparedSwap {
  readonly commit: Cid;
  /** What it cost: for status, benches and the tests that count. */
  readonly uploaded: { readonly requests: number; readonly bytes: number; readonly blocks: number };
  /**
   * Sends the swap once; never retries by itself. May be sent again after "unknown" while the root still is the base. Throws
   * `arbiter_unreachable` when nothing was sent, `root_moved` when the upload has to begin anew, and what a master refuses it for.
   */
  swap(): Promise<SwapOutcome>;
}
