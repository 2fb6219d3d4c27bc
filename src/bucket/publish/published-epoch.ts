/** What an overlay receives when its epoch is in a root. */
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import type { RebasedEpoch } from "../../fstree/rebase/rebase.ts";
import type { PublishedEpoch } from "../../fstree/change-set.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { changesFrom, differencesFrom } from "./changes-from.ts";
import { unitChanges } from "./unit-changes.ts";
import type { EpochTree } from "./workspace.ts";

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
  if (theirs === undefined || theirs.length === 0) return published;
  const { units } = await bucket.policy(commit);
  const changed = await unitChanges(epochTree, tree, theirs, new UnitRules(units));
  return changed.length === 0 ? published : { ...published, changed };
}
