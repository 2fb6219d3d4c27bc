/** A maintenance commit that retains less of the history. */
import type { Lamport } from "../../src/base/ids.ts";
import { keptKey } from "../../src/bucket/history.ts";
import type { PublishContext } from "../../src/bucket/publish.ts";
import { commitRoots, makeCommit } from "../../src/bucket/publish/next-commit.ts";
import { Staging } from "../../src/bucket/publish/staging.ts";
import type { CommitBody } from "../../src/format/commits/commit-body.ts";
import { signCommit } from "../../src/format/commits/commit.ts";
import { editTree } from "../../src/tree/edit.ts";
import { NodeStore } from "../../src/tree/node-store.ts";

/**
 * Swaps in a commit with the same tree, whose kept commits are the current ones without these seqs (ascending). `more`
 * overrides its fields.
 */
export async function dropKept(
  { bucket, writer }: PublishContext,
  seqs: readonly Lamport[],
  more: Partial<CommitBody> = {},
): Promise<void> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  const staging = new Staging(bucket.blocks, undefined);
  const nodes = new NodeStore(staging, { capacityBytes: 1 << 20 });
  const { tree, epoch, timeNs } = current.commit.body;
  const { commit } = await makeCommit(bucket, nodes, staging, current.commit, writer, {
    tree,
    epoch,
    timeNs,
    note: "",
  });
  const deletes = seqs.map((seq) => ({ key: keptKey(seq), value: undefined, links: [] }));
  const kept = await editTree(nodes, staging, bucket.treeConfig, commit.body.kept, deletes);
  const thinned = signCommit({ ...commit.body, kept, ...more }, commit.certificate, writer.device);
  await using session = bucket.remote.beginUpload();
  const blocks = staging.reachable(commitRoots(thinned));
  const outcome = await (await session.prepare(current.root, { commit: thinned, blocks })).swap();
  if (outcome.kind !== "committed") throw new Error(outcome.kind);
}
