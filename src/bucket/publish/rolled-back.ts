/** Whether a root lacks what an agent has seen: then the bucket was set back, and must not be merged with. */
import { unless } from "../../base/unless.ts";
import type { Cid, Lamport } from "../../base/ids.ts";
import type { ChangeSet } from "../../fstree/change-set.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import { descends } from "../history.ts";
import type { VerifiedCommit } from "../verified-commit.ts";

/** `seen`: roots that were adopted. `nodesOf` is called if there is anything to check. */
export async function isRolledBack(
  bucket: Bucket,
  commit: VerifiedCommit,
  { lamport }: ChangeSet,
  seen: readonly Cid[],
  nodesOf: () => NodeStore,
): Promise<boolean> {
  const seqIfGone = commit.body.seq + 1 < lamport ? ((lamport - 1) as Lamport) : undefined;
  const ours = new Set(seen);
  ours.delete(commit.cid);
  if (ours.size === 0) return false;
  const nodes = nodesOf();
  await load(nodes, commit);
  for (const cid of ours) {
    const seq = (await seqOf(bucket, cid)) ?? seqIfGone;
    if (seq !== undefined && (await descends(bucket, commit, { cid, seq }, nodes)) === "no") return true;
  }
  return false;
}

/** Reads the roots of its list of retained commits and of its tree at once. Later reads report a missing one. */
async function load(nodes: NodeStore, { body }: VerifiedCommit): Promise<void> {
  await unless("block_not_found", () => nodes.load([body.kept, body.tree]));
}

/** Undefined when the commit is gone. */
async function seqOf(bucket: Bucket, cid: Cid): Promise<Lamport | undefined> {
  return unless("block_not_found", async () => (await bucket.commit(cid)).body.seq);
}
