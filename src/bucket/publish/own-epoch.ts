/**
 * After a crash: is the epoch that the bucket has under our name the one that we hold? A commit can be made again from its
 * parent and the epoch, so the answer is exact. A machine restored from an old image fails the check.
 */
import { hasCode } from "../../base/errors.ts";
import type { WriterId } from "../../base/ids.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { log } from "../history.ts";
import type { EpochTree, Workspace } from "./workspace.ts";

/** The epoch on the root on which it was published, or undefined when another epoch has this number. */
export async function ownEpoch(
  bucket: Bucket,
  head: VerifiedCommit,
  writer: WriterId,
  epoch: number,
  workspace: Workspace,
): Promise<EpochTree | undefined> {
  const commit = await findEpoch(bucket, head, writer, epoch);
  if (commit?.body.parent === undefined) return undefined;
  try {
    const again = await workspace.treeOn(await bucket.commit(commit.body.parent), head);
    return again.tree === commit.body.tree ? again : undefined;
  } catch (error) {
    if (hasCode(error, "block_not_found")) return undefined;
    throw error;
  }
}

/** The commit that brought the epoch: later maintenance commits carry its number, too. */
async function findEpoch(
  bucket: Bucket,
  head: VerifiedCommit,
  writer: WriterId,
  epoch: number,
): Promise<VerifiedCommit | undefined> {
  let found: VerifiedCommit | undefined;
  for await (const commit of log(bucket, head)) {
    if ((commit.heads.get(writer) ?? 0) < epoch) return found;
    if (commit.body.writer === writer && commit.body.epoch === epoch) found = commit;
  }
  return found;
}
