/** Drops the blocks that a collection would drop from a bucket in memory. */
import type { Cid } from "../../src/base/ids.ts";
import { keptNodesOf } from "../../src/bucket/gc/maintenance.ts";
import { WordMemory } from "../../src/base/word-memory.ts";
import { Marker } from "../../src/bucket/gc/marker.ts";
import { NeededBlocks } from "../../src/bucket/gc/needed-blocks.ts";
import { keptCommits } from "../../src/bucket/history.ts";
import { digestOf, digestText } from "../../src/format/blocks/cid.ts";
import type { MemoryRemote } from "./memory-remote.ts";
import { nodesOf, openBucket } from "./test-bucket.ts";

/** Drops the blocks that no retained root reaches, except one that a cache has. */
export async function dropUnreached(remote: MemoryRemote, cached?: Cid): Promise<void> {
  const bucket = await openBucket(remote);
  const { commit } = await bucket.head();
  const kept: Cid[] = [];
  for await (const { cid } of keptCommits(nodesOf(bucket), commit)) kept.push(cid);
  const needed = new NeededBlocks(new WordMemory());
  const marker = new Marker(remote.blocks, needed, () => {});
  await marker.markCommits([commit.cid, ...kept]);
  await marker.markSkips(commit.body);
  marker.markAlone(await keptNodesOf(remote.blocks, commit.body.kept));
  const stays = (cid: Cid) => {
    const digest = digestOf(cid);
    return cid === cached || needed.isMarked(digest) || marker.skipped.has(digestText(digest));
  };
  for (const cid of remote.blocks.held.keys()) if (!stays(cid)) remote.blocks.held.delete(cid);
}
