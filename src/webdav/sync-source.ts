/** Where sync-collection (RFC 6578) learns what changed: a port, and its answer from the bucket's trees. */
import type { Cid, FileName } from "../base/ids.ts";
import { isGone } from "../blocks/not-found.ts";
import { hasCode } from "../base/errors.ts";
import { parseCid } from "../format/cid.ts";

export interface SyncSource {
  /** Names the state of the share now: an absolute URI. */
  token(): string;
  /**
   * What changed since the state that `token` names. Undefined: that state is not known any more, or too much changed. Rejects with
   * what the store says.
   */
  changesSince(token: string): Promise<SyncChanges | undefined>;
}

export interface SyncChanges {
  /** Each at most once: paths from the root. Whether something is there now is looked up afterwards. */
  readonly paths: readonly (readonly FileName[])[];
  /** Names the state up to which they tell. */
  readonly token: string;
}

/** The vfs, as far as it stands on a published tree. */
export interface PublishedTrees {
  baseState(): { readonly tree: Cid };
  changedSince(tree: Cid): Promise<{ readonly tree: Cid; readonly paths: SyncChanges["paths"] } | undefined>;
}

/**
 * The root's tree is the token. So it is good on every agent of the bucket and after a restart, for as long as history is kept. What is
 * not published yet is told once it is.
 */
export function syncByTrees(trees: PublishedTrees): SyncSource {
  return {
    token: () => tokenOf(trees.baseState().tree),
    async changesSince(token) {
      const tree = treeOf(token);
      const changes = tree === undefined ? undefined : await unlessUnknown(() => trees.changedSince(tree));
      return changes && { paths: changes.paths, token: tokenOf(changes.tree) };
    },
  };
}

const PREFIX = "urn:syncline:tree:";

function tokenOf(tree: Cid): string {
  return PREFIX + tree;
}

function treeOf(token: string): Cid | undefined {
  if (!token.startsWith(PREFIX)) return undefined;
  try {
    return parseCid(token.slice(PREFIX.length));
  } catch (error) {
    if (hasCode(error, "format_invalid")) return undefined;
    throw error;
  }
}

/** Collected as garbage, of another bucket, or no tree at all. */
async function unlessUnknown<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isGone(error) || hasCode(error, "format_invalid")) return undefined;
    throw error;
  }
}
