/**
 * The interface to a bucket's storage: blocks, and one root that is swapped. `file://` and `s3://` are one implementation
 * (PackedRemote over an ObjectStore); a master over HTTP is another.
 */
import type { SynclineError } from "../base/errors.ts";
import type { Cid, PackName } from "../base/ids.ts";
import type { Block, BlockReader } from "../blocks/block-store.ts";
import type { RootPointer } from "../format/blocks/root-object.ts";
import type { MasterReport } from "../net/master-connection.ts";
import type { RequestReport, Turn } from "../objects/object-store.ts";
import type { Root, SwapOutcome } from "../roots/root-store.ts";
import type { OwnerQuota } from "./http/owner-quota.ts";

export interface BucketRemote extends AsyncDisposable {
  /** For people: the bucket's address without credentials. */
  readonly address: string;

  /** The signed genesis block, unverified. Throws `no_such_bucket`, `store_unreachable`, and as `lostRoot` says. */
  readGenesis(): Promise<Uint8Array>;

  /**
   * The genesis block that the root's commit links, for where `readGenesis` returned a damaged copy. Undefined if there is no
   * root. Absent where there are no copies. Throws as reading blocks does.
   */
  linkedGenesis?(): Promise<Uint8Array | undefined>;

  /**
   * Makes the bucket: its first commit, whose blocks include the genesis, becomes the root. Then stores the genesis where
   * `readGenesis` looks first. False, and nothing changed, if the bucket exists. Throws `bucket_exists` if one is there that
   * has lost its root.
   */
  create(genesis: Block, first: Upload): Promise<boolean>;

  /** The current root, or undefined when the bucket does not exist. Throws `arbiter_unreachable`. */
  readRoot(): Promise<Root | undefined>;

  /**
   * Where there is no root: the error for that if a bucket is there that has lost it. Absent where the storage cannot tell.
   * Throws `store_unreachable`.
   */
  lostRoot?(): Promise<SynclineError | undefined>;

  /** All blocks reachable from any kept root. After a missing block, it reloads the root once by itself. */
  readonly blocks: BlockReader;

  /**
   * Starts an upload on top of `expected`: content blocks are streamed into it, tree nodes staged. Several swaps may be
   * tried from one session; blocks that it already uploaded are not sent again.
   */
  beginUpload(): UploadSession;

  /** Forgets where blocks lie: what was read of that may have been damaged on the way. */
  forgetPlacement?(): void;

  /**
   * Checks blocks that came damaged, also after another try. What is damaged counts as missing for uploads from then on.
   * Absent where the storage finds damage by itself.
   */
  doubt?(cids: readonly Cid[]): Promise<void>;

  /** The same for a pack in which another thread of this process met damage, or that is missing. */
  doubtPack?(pack: PackName): void;

  /**
   * States the base roots of this writer's unpublished changes, oldest first, so that collections retain them; empty: there
   * are none. Absent where the storage keeps no such note. Throws as the store does.
   */
  holdBases?(bases: readonly RootPointer[]): Promise<void>;

  /**
   * Waits in line with other writers under contention; dispose the turn when the swap is through. Advisory: a swap needs no
   * turn, and this never rejects. Undefined where there is no line, and after waiting in vain.
   */
  takeTurn?(): Promise<BucketTurn | undefined> | undefined;

  /** Requests to storage that bills them, so far. */
  requests?(): RequestReport | undefined;

  /** How much the bucket's owner may store; undefined: no limit is known. Absent where there are no quotas. */
  quota?(): Promise<OwnerQuota | undefined>;

  /** The masters that serve the bucket. Absent where there are none. */
  masters?(): MasterReport[] | undefined;

  /** Calls `changed` when the root may have moved (watched and polled), until disposed. */
  watch(changed: () => void): Disposable;
}

export interface BucketTurn extends Turn {
  /** The root when the turn began, if it came with the turn. */
  readonly root?: Root | undefined;
}

/** A commit with the blocks that it reaches and the store may lack. */
export interface Upload {
  readonly commit: Block;
  /** In tree order. Nodes (dag-cbor) and content (raw). */
  readonly blocks: Iterable<Block> | AsyncIterable<Block>;
}

export interface UploadSession extends AsyncDisposable {
  /**
   * Takes content blocks as they are made; packs are sent as they fill (a lease protects them). Drops blocks that the
   * session or the bucket already holds.
   */
  putContent(block: Block): Promise<void>;

  /** Reads what this session took but no root reaches yet, else the bucket. */
  readonly blocks: BlockReader;

  /**
   * Makes `upload.commit` and everything that it needs durable in the store, on top of `expected`: only the swap is left.
   * Throws `store_unreachable`, `disk_full`, `root_moved` (a dedup hit is gone: prepare again from the current root).
   */
  prepare(expected: Root, upload: Upload): Promise<PreparedSwap>;

  /**
   * Ends the session in place of disposing it: the next session of this remote begins with what this one stored. Not after a
   * swap with an unknown outcome. Absent where storage keeps unfinished uploads anyway.
   */
  suspend?(): Promise<void>;
}

export interface PreparedSwap {
  readonly commit: Cid;
  /** The cost so far: for status, benchmarks and the tests that count. */
  readonly uploaded: { readonly requests: number; readonly bytes: number; readonly blocks: number };
  /**
   * Sends the swap once, without retries. May be sent again after "unknown" while the root still is the base. Throws
   * `arbiter_unreachable` when nothing was sent, `root_moved` when the upload must begin anew, and a master's refusals.
   */
  swap(): Promise<SwapOutcome>;
}
