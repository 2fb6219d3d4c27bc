/**
 * After a crash or a sleep: is the epoch that the bucket has under our name the one that we hold? Its commit tells: it was
 * noted before its swap was sent, or it can be made again from its parent and the epoch. If the history no longer has the
 * commit, a note is enough. An epoch is only sent on a root that lacks it, so a machine restored from an old image finds the
 * number taken and notes nothing. Retaining each writer's last commit would keep deleted data.
 */
import { unless } from "../../base/unless.ts";
import type { WriterId } from "../../base/ids.ts";
import type { ChangeSet, SentCommit } from "../../fstree/change-set.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { descends, log } from "../history.ts";
import { forgottenEpoch } from "./forgotten-epoch.ts";
import type { EpochTree, Workspace } from "./workspace.ts";

export interface OwnEpoch {
  readonly bucket: Bucket;
  readonly writer: WriterId;
  readonly changes: ChangeSet;
  /** The epoch's commits that were noted before their swaps. */
  readonly sent: readonly SentCommit[];
  readonly workspace: Workspace;
  /** A workspace that uploads nothing. */
  readonly apart: (changes: ChangeSet) => Workspace;
}

/**
 * The epoch as it was published, or undefined when another epoch has this number. Throws `block_not_found` if the bucket lacks
 * contents that it should have.
 */
export async function ownEpoch(own: OwnEpoch, head: VerifiedCommit): Promise<EpochTree | undefined> {
  const { bucket, writer, changes, sent } = own;
  const isLast = (await bucket.heads.epochOf(head.body, writer)) === changes.epoch;
  if (!isLast && sent.length === 0) return undefined;
  const found = await findEpoch(bucket, head, writer, changes.epoch);
  const { brought, oldest } = found;
  if (brought === undefined)
    return isLast && (await mayBeSent(bucket, head, found, sent)) ? forgottenEpoch(own, oldest, head) : undefined;
  const isSent = sent.some(({ commit }) => commit === brought.cid);
  if (!isSent && !isLast) return undefined;
  const again = await madeAgain(own, brought, head);
  if (again?.tree === brought.body.tree) return again;
  // Power loss may have taken bytes that were published, and another version may merge differently.
  return isSent ? forgottenEpoch(own, brought, head) : undefined;
}

/** What the history has of an epoch. */
export interface FoundEpoch {
  /** The commit that brought the epoch, if it is left: maintenance commits carry its number, too. */
  readonly brought: VerifiedCommit | undefined;
  /** The oldest commit left that includes the epoch, and the newest one that does not. */
  readonly oldest: VerifiedCommit;
  readonly before: VerifiedCommit | undefined;
}

export async function findEpoch(
  bucket: Bucket,
  head: VerifiedCommit,
  writer: WriterId,
  epoch: number,
): Promise<FoundEpoch> {
  let [brought, oldest]: [VerifiedCommit | undefined, VerifiedCommit] = [undefined, head];
  for await (const commit of log(bucket, head)) {
    if ((await bucket.heads.epochOf(commit.body, writer)) < epoch) return { brought, oldest, before: commit };
    oldest = commit;
    if (commit.body.writer === writer && commit.body.epoch === epoch) brought = commit;
  }
  return { brought, oldest, before: undefined };
}

/** Whether a swap that was noted may have brought an epoch whose commit is gone, as far as the history tells. */
export async function mayBeSent(
  bucket: Bucket,
  head: VerifiedCommit,
  { oldest, before }: FoundEpoch,
  sent: readonly SentCommit[],
): Promise<boolean> {
  for (const { commit, seq } of sent) {
    if (seq > oldest.body.seq || (before !== undefined && seq <= before.body.seq)) continue;
    if ((await descends(bucket, head, { cid: commit, seq })) !== "no") return true;
  }
  return false;
}

/** The epoch on the root on which this commit put it. Undefined: that root is gone. */
async function madeAgain(
  { bucket, workspace }: OwnEpoch,
  { body }: VerifiedCommit,
  head: VerifiedCommit,
): Promise<EpochTree | undefined> {
  const { parent } = body;
  if (parent === undefined) return undefined;
  return unless("block_not_found", async () => workspace.treeOn(await bucket.commit(parent), head));
}
