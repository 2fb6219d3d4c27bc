/** The source of changes for sync-collection (RFC 6578): a port, and its implementation on the bucket's trees. */
import { unless, unlessSync } from "../base/unless.ts";
import type { Cid, FileName } from "../base/ids.ts";
import { isGone } from "../blocks/not-found.ts";
import { hasCode } from "../base/errors.ts";
import { parseCid } from "../format/blocks/cid.ts";
import type { PublishState } from "../vfs/publish-state.ts";

export interface SyncSource {
  /** The token of the share's published state: an absolute URI. */
  token(): string;
  /** Whether the share shows exactly this token's state: nothing is unpublished or held, and no other root was adopted. */
  isShown(token: string): boolean;
  /** The changes since `token`. Undefined: unknown state, or too many changes. Rejects with the store's errors. */
  changesSince(token: string): Promise<SyncChanges | undefined>;
}

export interface SyncChanges {
  /** Paths from the root, each at most once. Whether something is there now is looked up later. */
  readonly paths: readonly (readonly FileName[])[];
  /** The token of the state that they lead to. */
  readonly token: string;
}

/** The part of the vfs that shows its published tree. */
export interface PublishedTrees {
  baseState(): { readonly tree: Cid };
  readonly publishState: Pick<PublishState, "showsBase">;
  changedSince(tree: Cid): Promise<{ readonly tree: Cid; readonly paths: SyncChanges["paths"] } | undefined>;
}

/** The root's tree is the token: it is valid on every agent and after a restart, as long as history is kept. */
export function syncByTrees(trees: PublishedTrees): SyncSource {
  return {
    token: () => tokenOf(trees.baseState().tree),
    isShown: (token) => token === tokenOf(trees.baseState().tree) && trees.publishState.showsBase,
    async changesSince(token) {
      const tree = treeOf(token);
      const changes = tree === undefined ? undefined : await unlessUnknown(() => trees.changedSince(tree));
      return changes && { paths: changes.paths, token: tokenOf(changes.tree) };
    },
  };
}

/**
 * The sync token of an answer, which must name exactly what was listed. Listings include unpublished changes, and no tree
 * would show that one was undone before it was published. An answer that lists any gets an invalid token, with which the
 * client starts over.
 */
export class AnswerToken {
  readonly #source: SyncSource;
  readonly #token: string;
  #isExact = true;

  /** `token`: that of the reported state. */
  constructor(source: SyncSource, token: string) {
    this.#source = source;
    this.#token = token;
  }

  /** Call this after each lookup for the answer. */
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
  return unlessSync("format_invalid", () => parseCid(token.slice(PREFIX.length)));
}

/** The tree was collected, belongs to another bucket, or does not exist. */
function unlessUnknown<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  return unless((error) => isGone(error) || hasCode(error, "format_invalid"), work);
}
