/** Finds the commit that brought something, by bisecting the kept history, so that few commits are read. */
import type { Cid, Lamport } from "../../base/ids.ts";
import { range } from "../../tree/read.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { keptKey } from "../history.ts";

/**
 * The oldest kept commit from which on `isThere` holds, if it came once and stayed. If it came and went, one of the commits
 * that brought it. Reads O(log n) trees of n commits. `isThere` must hold for `head`.
 */
export async function broughtBy(
  bucket: Pick<Bucket, "commit">,
  nodes: NodeStore,
  head: VerifiedCommit,
  isThere: (tree: Cid) => Promise<boolean>,
): Promise<VerifiedCommit> {
  let oldest = head;
  // Commits before `from` lack it, `oldest` at `until` or later has it.
  let [from, until] = [1, head.body.seq as number];
  while (from < until) {
    const middle = Math.floor((from + until) / 2);
    const commit = await keptBetween(bucket, nodes, head, middle as Lamport, until as Lamport);
    if (commit === undefined) until = middle;
    else if (await isThere(commit.body.tree)) {
      oldest = commit;
      until = middle;
    } else from = commit.body.seq + 1;
  }
  return oldest;
}

/** The first kept commit with from ≤ seq < to. */
async function keptBetween(
  bucket: Pick<Bucket, "commit">,
  nodes: NodeStore,
  head: VerifiedCommit,
  from: Lamport,
  to: Lamport,
): Promise<VerifiedCommit | undefined> {
  const bounds = { from: keptKey(from), to: keptKey(to) };
  for await (const { links } of range(nodes, head.body.kept, bounds)) {
    const [cid] = links;
    return cid === undefined ? undefined : bucket.commit(cid);
  }
  return undefined;
}
