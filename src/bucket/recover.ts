/**
 * Merges a root back in that the bucket has lost: its arbiter or its storage was restored from a backup, or a standby that
 * lagged was promoted. What the lost root had changed is published as one commit, which says so: machines that know the
 * lost root follow it.
 */
import { unless } from "../base/unless.ts";
import type { Cid, Lamport } from "../base/ids.ts";
import type { DataReader } from "../fstree/change-set.ts";
import { ancestorAt, commitIfThere, descends } from "./history.ts";
import { publishEpoch, type PublishContext } from "./publish.ts";
import type { PublishOutcome } from "./publish/outcome.ts";
import type { VerifiedCommit } from "./verified-commit.ts";

/**
 * Publishes as `epoch` of the context's writer. Undefined: the root is not lost, or the bucket lacks its blocks. Throws as
 * `publishEpoch`, and `block_not_found` if the last root that both have in common is gone.
 */
export async function recoverRoot(
  context: PublishContext,
  epoch: number,
  lost: Cid,
): Promise<PublishOutcome | undefined> {
  const { bucket } = context;
  const { commit: head } = await bucket.head();
  const root = await ownCommit(context, lost);
  if (root === undefined) return undefined;
  if ((await descends(bucket, head, { cid: root.cid, seq: root.body.seq })) !== "no") return undefined;
  const reference = await lastInCommon(context, head, root);
  const lamport = (reference.body.seq + 1) as Lamport;
  const changes = { epoch, reference: reference.cid, lamport, objects: [], directories: new Map() };
  return publishEpoch(context, changes, NO_DATA, { recovers: root, note: `recovered ${root.cid}` });
}

/** Undefined if it is gone, or another bucket's: that one was replaced, not set back. */
async function ownCommit({ bucket }: PublishContext, cid: Cid): Promise<VerifiedCommit | undefined> {
  return unless("foreign_bucket", () => commitIfThere(bucket, cid));
}

/**
 * The newest commit that both follow. Histories part once, so the place is found by halving; unless `one` has recovered a
 * commit that `other` descends from.
 */
async function lastInCommon(
  { bucket }: PublishContext,
  one: VerifiedCommit,
  other: VerifiedCommit,
): Promise<VerifiedCommit> {
  for (const cid of (one.body.recovered ?? []).toReversed()) {
    const recovered = await commitIfThere(bucket, cid);
    if (recovered === undefined) continue;
    if ((await descends(bucket, other, { cid, seq: recovered.body.seq })) === "yes") return recovered;
  }
  let [common, parted] = [1, Math.min(one.body.seq, other.body.seq) + 1];
  const at = (seq: number) => ancestorAt(bucket, one, seq as Lamport);
  while (parted - common > 1) {
    const seq = Math.floor((common + parted) / 2);
    if ((await at(seq)) === (await ancestorAt(bucket, other, seq as Lamport))) common = seq;
    else parted = seq;
  }
  return bucket.commit(await at(common));
}

/** The lost tree's contents are stored already. */
const NO_DATA: DataReader = { readData: async () => new Uint8Array() };
