/** Buckets that many devices wrote to, without making that many devices. */
import type { WriterId } from "../../src/base/ids.ts";
import { commitRoots, makeCommit } from "../../src/bucket/publish/next-commit.ts";
import type { PublishContext } from "../../src/bucket/publish.ts";
import { Staging } from "../../src/bucket/publish/staging.ts";
import type { Heads } from "../../src/format/commits/heads.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { noise } from "./bytes.ts";

export function headsOf(count: number, epoch = 7): Heads {
  const heads = new Map<WriterId, number>();
  for (let at = 0; at < count; at++) heads.set(Buffer.from(noise(16, at)).toString("hex") as WriterId, epoch + at);
  return heads;
}

/** Makes a root that also includes these, with the tree of the present one. */
export async function includeAll(
  { bucket, writer, clock }: PublishContext,
  heads: Heads,
  epoch: number,
): Promise<void> {
  const { root, commit: parent } = await bucket.head();
  const staging = new Staging(bucket.blocks, undefined);
  const nodes = new NodeStore(staging, { capacityBytes: 1 << 20 });
  const all = new Map([...(await bucket.heads.all(parent.body)), ...heads]);
  const { commit } = await makeCommit(
    bucket,
    nodes,
    staging,
    { ...parent, body: { ...parent.body, heads: all } },
    writer,
    { tree: parent.body.tree, epoch, timeNs: clock.nowNs(), note: "" },
  );
  await using session = bucket.remote.beginUpload();
  const swap = await session.prepare(root, { commit, blocks: staging.reachable(commitRoots(commit)) });
  if ((await swap.swap()).kind !== "committed") throw new Error("another writer was faster");
}
