/**
 * The arbiter of a bucket: one pointer to the newest commit, replaced by compare-and-swap.
 *
 * Everything else in a bucket is immutable, so this port is the only place where two writers can collide.
 * Implementations: memory (tests), objects (`file://`, `s3://`), SQLite, PostgreSQL, a master over HTTP. All pass test/contract/root-store.ts.
 */
import { unlessSync } from "../base/unless.ts";
import type { Cid } from "../base/ids.ts";

/** Names one bucket of one owner. Both parts are validated where they enter the program. */
export interface BucketName {
  /** Lower-case wallet address: 0x and 40 hex digits. "" for a store of one bucket. */
  readonly owner: string;
  readonly bucket: string;
}

/** A unique string for each bucket of each owner, as a map key. */
export function bucketKey({ owner, bucket }: BucketName): string {
  return `${owner}/${bucket}`;
}

export interface Root {
  readonly commit: Cid;
  /** Counts the swaps of this bucket, from 1. */
  readonly version: number;
}

/**
 * The outcome of a swap. "unknown" is an outcome, not an error: the request was sent and no answer came back. It may be
 * committed, may still commit later, or never. Only reading the root and its ancestry can tell.
 */
export type SwapOutcome =
  | { readonly kind: "committed"; readonly root: Root }
  | { readonly kind: "conflict"; readonly current: Root | undefined }
  | { readonly kind: "unknown"; readonly cause: unknown };

export interface RootStore {
  /** The current root, or undefined if the bucket does not exist. Throws `arbiter_unreachable`. */
  get(name: BucketName): Promise<Root | undefined>;

  /**
   * Replaces `expected` by `next`, or creates the bucket when `expected` is undefined. Atomic and durable before it
   * answers "committed". Never retries by itself: a hidden retry turns a won swap into a false conflict.
   */
  swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome>;
}

/** A root with the fields that a bucket list shows. */
export interface RootRow extends Root {
  readonly bucket: string;
  /** RFC 3339, whole seconds, UTC. */
  readonly updatedAt: string;
}

/** All of the owner's buckets by name. Throws `arbiter_unreachable`. */
export async function allRoots(roots: Pick<RootTable, "list">, owner: string): Promise<RootRow[]> {
  const all = await roots.list(owner, "", ROOTS_AT_ONCE);
  for (let page = all; page.length === ROOTS_AT_ONCE; all.push(...page)) {
    page = await roots.list(owner, page.at(-1)?.bucket ?? "", ROOTS_AT_ONCE);
  }
  return all;
}

const ROOTS_AT_ONCE = 1_000;

/** What `read` returns, or undefined if it throws `store_corrupt`. */
export function unlessCorrupt<Row>(read: () => Row): Row | undefined {
  return unlessSync("store_corrupt", () => read());
}

/** The blocks of the bucket's owner may have changed since they were checked: check the root again. */
export interface CheckAgain {
  readonly kind: "check again";
}

/** A root store that holds many buckets, as a master needs it. */
export interface RootTable extends RootStore {
  /** As `swap`, if the owner's blocks are still in the era in which the root was checked (OwnerBlocks.era). */
  swapInEra(name: BucketName, expected: Cid | undefined, next: Cid, era: number): Promise<SwapOutcome | CheckAgain>;
  /** Up to 1,000 roots in one query, in the order of their names. Undefined also for a row without a valid CID. */
  getMany(names: readonly BucketName[]): Promise<(Root | undefined)[]>;
  /** As `get`, with the time since which it has been the root. */
  row(name: BucketName): Promise<RootRow | undefined>;
  /** The owner's buckets by name, at most `limit`, only those after `after`. Throws `arbiter_unreachable`. */
  list(owner: string, after: string, limit: number): Promise<RootRow[]>;
}
