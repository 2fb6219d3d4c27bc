/** The outcome of publishing an epoch: values that callers must tell apart. */
import type { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Root } from "../../roots/root-store.ts";
import type { RebasedEpoch } from "../../fstree/rebase/rebase.ts";
import type { PublishedEpoch } from "../../fstree/change-set.ts";
import type { Conflict } from "../../fstree/merge/conflict.ts";

export type PublishOutcome =
  /** The epoch is in the bucket, and `epoch.base` is the new base root. */
  | {
      readonly kind: "published";
      readonly epoch: PublishedEpoch & Pick<RebasedEpoch, "objects">;
      readonly root: Root;
      /** What this epoch's merge could not keep as both sides meant it. */
      readonly conflicts: readonly Conflict[];
      /** Other writers published meanwhile, or waited before it. */
      readonly contended: boolean;
      /** By the clock's monotonicMs: roots reported before this precede the new one. -Infinity: unknown. */
      readonly swapMs: number;
      readonly figures: PublishFigures;
    }
  /**
   * Other writers' roots came first in all attempts, or (`isUnsure`) no swap got an answer: one may yet take place. The epoch
   * stays queued: publish it again later.
   */
  | { readonly kind: "queued"; readonly isUnsure: boolean; readonly figures: PublishFigures }
  /** The storage or arbiter is unusable now (`cause` says why). A swap may be under way: publish the same epoch again. */
  | { readonly kind: "unreachable"; readonly cause: SynclineError; readonly figures: PublishFigures }
  /** The root does not descend from our base: never merge with it. */
  | { readonly kind: "rolled_back"; readonly root: Cid; readonly figures: PublishFigures }
  /** Another bucket lies at the address: never merge with it. */
  | { readonly kind: "foreign"; readonly cause: SynclineError; readonly figures: PublishFigures }
  /**
   * The bucket holds our device's epoch, this or a later one, that is not ours (a restored machine): take a new device key.
   * For an earlier one, see `late`.
   */
  | { readonly kind: "device_reused"; readonly epoch: number; readonly figures: PublishFigures };

/** The cost of publishing: for status, benchmarks and tests. */
export interface PublishFigures {
  /** Swaps sent. */
  readonly attempts: number;
  readonly requests: number;
  readonly uploadedBytes: number;
  readonly uploadedBlocks: number;
  /** Tree nodes and chunks that were not in memory. */
  readonly blocksRead: number;
}

export const NO_FIGURES: PublishFigures = {
  attempts: 0,
  requests: 0,
  uploadedBytes: 0,
  uploadedBlocks: 0,
  blocksRead: 0,
};

export function addFigures(a: PublishFigures, b: PublishFigures): PublishFigures {
  return {
    attempts: a.attempts + b.attempts,
    requests: a.requests + b.requests,
    uploadedBytes: a.uploadedBytes + b.uploadedBytes,
    uploadedBlocks: a.uploadedBlocks + b.uploadedBlocks,
    blocksRead: a.blocksRead + b.blocksRead,
  };
}

export class FigureCounter {
  attempts = 0;
  requests = 0;
  uploadedBytes = 0;
  uploadedBlocks = 0;
  blocksRead = 0;

  addUpload(uploaded: { readonly requests: number; readonly bytes: number; readonly blocks: number }): void {
    this.requests += uploaded.requests;
    this.uploadedBytes += uploaded.bytes;
    this.uploadedBlocks += uploaded.blocks;
  }

  figures(): PublishFigures {
    const { attempts, requests, uploadedBytes, uploadedBlocks, blocksRead } = this;
    return { attempts, requests, uploadedBytes, uploadedBlocks, blocksRead };
  }
}

/** Codes of conditions that pass by themselves or when a person acts; the epoch waits. */
export const WAITING: ReadonlySet<string> = new Set([
  "arbiter_unreachable",
  "bad_token",
  "bucket_locked",
  "disk_full",
  "key_locked",
  "missing_blocks",
  "no_grant",
  "no_such_bucket",
  "over_quota",
  "store_failed",
  "store_unreachable",
  "time_out",
  "wallet_not_allowed",
]);
