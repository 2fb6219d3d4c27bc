/** How a working copy, the overlay's or a synced folder's, follows a newer root of its bucket. */
import type { Cid, Lamport } from "../base/ids.ts";
import type { NewBase } from "../fstree/change-set.ts";
import { differencesIfThere } from "../fstree/differences.ts";
import type { NodeStore } from "../tree/node-store.ts";
import { descends, type Commits } from "./history.ts";
import { rootRolledBack } from "./root-witness.ts";
import type { VerifiedCommit } from "./verified-commit.ts";

export type WorkingBase = Omit<NewBase, "changes">;

/**
 * What is different at `head` from `base`; `showsNothing`: everything is. Throws `root_rolled_back` if `head` does not
 * descend from it.
 */
export async function changesTo(
  commits: Commits,
  nodes: NodeStore,
  base: WorkingBase,
  head: VerifiedCommit,
  showsNothing = false,
): Promise<NewBase> {
  await requireDescent(commits, nodes, { cid: base.commit, seq: base.seq }, head);
  return newBase(nodes, showsNothing ? undefined : base.tree, head);
}

/** `head` as the base of a working copy that shows `tree`, or nothing. */
export async function newBase(
  nodes: NodeStore,
  tree: Cid | undefined,
  { cid, body }: VerifiedCommit,
): Promise<NewBase> {
  const changes = tree && (await differencesIfThere(nodes, tree, body.tree));
  return { commit: cid, tree: body.tree, seq: body.seq, changes };
}

/** Throws `root_rolled_back` if `head` does not descend from a root that was seen before. */
export async function requireDescent(
  commits: Commits,
  nodes: NodeStore,
  seen: { readonly cid: Cid; readonly seq: Lamport },
  head: VerifiedCommit,
): Promise<void> {
  if ((await descends(commits, head, seen, nodes)) === "no") throw rootRolledBack(head.cid);
}
