/** What a collection at a master keeps beside all that a root reaches. */
import { expect, test } from "vitest";
import type { Cid } from "../../src/base/ids.ts";
import { NodeEncoder } from "../../src/format/node-encoder.ts";
import { besidesReached } from "../../src/master/gc/spared.ts";
import { BlockMap } from "../support/block-map.ts";
import { blockOf, CommitChain, nodeBlock } from "../support/commit-chain.ts";

test("each node of a list is looked at once, however often its writer linked it", async () => {
  const blocks = new BlockMap();
  const chain = await CommitChain.create();
  const nodes = [nodeBlock("the lowest")];
  for (let level = 1; level <= 8; level++) {
    const encoder = new NodeEncoder();
    for (let child = 0; child < 40; child++) encoder.addChild(Buffer.of(child), 1, nodes.at(-1)?.cid as Cid);
    nodes.push(blockOf("dag-cbor", encoder.encode(level)));
  }
  const before = chain.make("before", undefined, { kept: nodes.at(-1)?.cid as Cid });
  const root = chain.make("root", before);
  for (const { cid, bytes } of [...nodes, ...before.blocks, ...root.blocks]) blocks.held.set(cid, bytes);
  const read: Cid[] = [];
  const get = (cid: Cid) => {
    read.push(cid);
    return blocks.get(cid);
  };
  const spared = await besidesReached({ get }, root.commit.cid);
  expect(spared.toSorted()).toEqual(nodes.map(({ cid }) => cid).toSorted());
  expect(read.filter((cid) => nodes.some((node) => node.cid === cid))).toHaveLength(nodes.length);
});
