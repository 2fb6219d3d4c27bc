/** What an overlay receives when its epoch is in a root. */
import type { Cid } from "../../base/ids.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import type { RebasedEpoch } from "../../fstree/rebase/rebase.ts";
import { readObject } from "../../fstree/fs-reader.ts";
import { sameContent } from "../../fstree/merge/objects.ts";
import type { PublishedEpoch } from "../../fstree/change-set.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { changesFrom, differencesFrom } from "./changes-from.ts";
import { unitChanges } from "./unit-changes.ts";
import type { EpochTree } from "./workspace.ts";

/**
 * The lists of the epoch's contents, if a merge may have replaced them in the tree. A file that changed since the seal stands
 * on its content in the epoch, so the bucket must have that, too.
 */
export function* contentsApart({ tree, built, objects }: EpochTree): Generator<Cid> {
  if (tree === built.ours) return;
  for (const { record } of objects.values()) if (record.content.kind === "list") yield record.content.cid;
}

/** Whether a merge has replaced contents of the epoch in the tree. */
export async function hasContentsApart({ tree, built, objects, nodes }: EpochTree): Promise<boolean> {
  if (tree === built.ours) return false;
  for (const { id, record, names } of objects.values()) {
    if (!("cid" in record.content)) continue;
    const there = await readObject(nodes, tree, id, names[0]);
    if (there === undefined || !sameContent(there.record.content, record.content)) return true;
  }
  return false;
}

/** `commit` holds the epoch, as `epochTree` has it, and possibly more. */
export async function publishedEpoch(
  bucket: Bucket,
  epoch: number,
  commit: VerifiedCommit,
  epochTree: EpochTree,
): Promise<PublishedEpoch & Pick<RebasedEpoch, "objects">> {
  const { objects, moved } = epochTree;
  const { tree, seq } = commit.body;
  const theirs = await differencesFrom(epochTree, tree);
  const base = { commit: commit.cid, tree, seq, changes: await changesFrom(epochTree, tree, theirs) };
  const published = { epoch, objects, base, ...(moved === undefined ? {} : { moved }) };
  if (theirs?.length === 0) return published;
  const { units } = await bucket.policy(commit);
  if (theirs === undefined) return { ...published, units };
  const changed = await unitChanges(epochTree, tree, theirs, new UnitRules(units));
  return { ...published, units, ...(changed.length === 0 ? {} : { changed }) };
}
