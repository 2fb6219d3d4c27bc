/** Where sync-collection (RFC 6578) learns what changed: a port, and its answer from the bucket's trees. */
import type { Cid, FileName } from "../base/ids.ts";
import { isGone } from "../blocks/not-found.ts";
import { hasCode } from "../base/errors.ts";
import { parseCid } from "../format/blocks/cid.ts";

export interface SyncSource {
  /** Names the published state of the share now: an absolute URI. */
  token(): string;
  /** Whether the share shows just what this token names: nothing waits to be published, and no other root was adopted. */
  isShown(token: string): boolean;
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
  /** How many files wait to be published. */
  pending(): { readonly files: number };
  changedSince(tree: Cid): Promise<{ readonly tree: Cid; readonly paths: SyncChanges["paths"] } | undefined>;
}

/** The root's tree is the token. So it is good on every agent of the bucket and after a restart, for as long as history is kept. */
export function syncByTrees(trees: PublishedTrees): SyncSource {
  return {
    token: () => tokenOf(trees.baseState().tree),
    isShown: (token) => token === tokenOf(trees.baseState().tree) && trees.pending().files === 0,
    async changesSince(token) {
      const tree = treeOf(token);
      const changes = tree === undefined ? undefined : await unlessUnknown(() => trees.changedSince(tree));
      return changes && { paths: changes.paths, token: tokenOf(changes.tree) };
    },
  };
}

/**
 * The sync token of an answer. A token must name just what was listed. Listings show unpublished changes, too, and no tree would tell of
 * one that is undone before it is published: an answer that listed any has an invalid token, with which the client starts over.
 */
export class AnswerToken {
  readonly #source: SyncSource;
  readonly #token: string;
  #isExact = true;

  /** `token` is that of the state that is told. */
  constructor(source: SyncSource, token: string) {
    this.#source = source;
    this.#token = token;
  }

  /** To be called whenever something was looked up that is told. */
  look(): void {
    this.#isExact &&= this.#source.isShown(this.#token);
  }

  get text(): string {
    return this.#isExact ? this.#token : this.#token.replace(PREFIX, UNPUBLISHED);
  }
}

const PREFIX = "urn:syncline:tree:";
const UNPUBLISHED = "urn:syncline:unpublished:";

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
