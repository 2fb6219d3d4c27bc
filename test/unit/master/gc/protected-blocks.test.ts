/** What a collection at a master keeps beside all that a root reaches. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Cid } from "../../../../src/base/ids.ts";
import { HEADS_TREE_FEATURE, RECOVERY_FEATURE } from "../../../../src/format/commits/features.ts";
import { NodeEncoder } from "../../../../src/format/tree/node-encoder.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { type Protecting, protectBesidesReached } from "../../../../src/master/gc/protected-blocks.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { blockOf, CommitChain, type MadeCommit, nodeBlock } from "../../../support/commit-chain.ts";

let blocks: BlockMap;
/** In the order in which they were read, and the first time of each that it was protected. */
let read: Cid[];
let protectedBlocks: Set<Cid>;
let pauses: number;
/** Runs at each pause. */
let onPause: () => void;

beforeEach(() => {
  blocks = new BlockMap();
  read = [];
  protectedBlocks = new Set();
  pauses = 0;
  onPause = () => {};
});

describe("the previous root's list of retained commits", () => {
  test("is read once per node, however often its writer linked the node", async () => {
    const nodes = levels(8);
    await protectBesidesReached(protecting(), await rootOver(nodes));
    expect([...protectedBlocks].toSorted()).toEqual(nodes.map(({ cid }) => cid).toSorted());
    const listed = new Set(nodes.map(({ cid }) => cid));
    // What lies below the lowest links is known to be a leaf.
    expect(read.filter((cid) => listed.has(cid))).toHaveLength(nodes.length - 1);
  });

  test("resumes where its walk was cut short, and pauses before each node", async () => {
    const nodes = levels(8);
    const root = await rootOver(nodes);
    for (let allowed = 1; ; allowed++) {
      let left = allowed;
      onPause = () => {
        if (left-- === 0) throw new Error("it is to end");
      };
      const outcome = await protectBesidesReached(protecting(), root).catch((error: Error) => error.message);
      if (outcome === undefined) break;
      expect(outcome).toBe("it is to end");
      for (const cid of protectedBlocks)
        for (const child of childrenOf(nodes, cid)) expect(protectedBlocks).toContain(child);
      read.length = 0;
    }
    expect([...protectedBlocks].toSorted()).toEqual(nodes.map(({ cid }) => cid).toSorted());
    read.length = pauses = 0;
    onPause = () => {};
    await protectBesidesReached(protecting(), root);
    expect(pauses).toBeGreaterThanOrEqual(read.length - 1);
  });

  test("ends at a node whose level is not below its parent's", async () => {
    const [leaf, node] = levels(2) as [Block, Block];
    const strange = listNode(1, [node]);
    const stranger = listNode(3, [listNode(2, [strange]), listNode(3, [strange])]);
    for (const { cid, bytes } of [strange, listNode(2, [strange]), listNode(3, [strange])]) blocks.held.set(cid, bytes);
    await protectBesidesReached(protecting(), await rootOver([leaf, node, stranger]));
    expect(protectedBlocks).toContain(node.cid);
    expect(protectedBlocks).toContain(listNode(3, [strange]).cid);
    expect(protectedBlocks).not.toContain(leaf.cid);
  });
});

test("a lost root that was merged in again stays, with the commits that lead back from it", async () => {
  const chain = await CommitChain.create();
  const made: MadeCommit[] = [];
  for (let seq = 1; seq <= 7; seq++) made.push(chain.make(`lost ${seq}`, made.at(-1)));
  const [, , , fourth, , sixth, lost] = made.map(({ commit }) => commit);
  const root = chain.make("root", made[0], {
    features: { incompat: [], roCompat: [], compat: [RECOVERY_FEATURE] },
    recovered: [lost?.cid as Cid],
  });
  for (const { cid, bytes } of [...made, root].flatMap((each) => each.blocks)) blocks.held.set(cid, bytes);
  await protectBesidesReached(protecting(), root.commit.cid);
  for (const commit of [lost, sixth, fourth]) expect(protectedBlocks).toContain(commit?.cid);
  expect(protectedBlocks).toContain(lost?.certificate);
  expect(protectedBlocks).not.toContain(lost?.body.tree);
});

test("a commit that `skip` leads to stays with all nodes of its heads", async () => {
  const chain = await CommitChain.create();
  const heads = levels(2);
  const features = { incompat: [HEADS_TREE_FEATURE], roCompat: [], compat: [] };
  const first = chain.make("first", undefined);
  const second = chain.make("second", first, { features, heads: { tree: heads.at(-1)?.cid as Cid } });
  const root = chain.make("root", second);
  for (const { cid, bytes } of [...heads, ...[first, second, root].flatMap((each) => each.blocks)])
    blocks.held.set(cid, bytes);
  await protectBesidesReached(protecting(), root.commit.cid);
  for (const { cid } of [second.commit, ...heads]) expect(protectedBlocks).toContain(cid);
});

function protecting(): Protecting {
  return {
    blocks: {
      get: async (cid) => {
        read.push(cid);
        return blocks.get(cid);
      },
    },
    protect: async (cids) => {
      for (const cid of cids) protectedBlocks.add(cid);
    },
    isProtected: (cid) => protectedBlocks.has(cid),
    pace: {
      breathe: async () => {
        pauses++;
        onPause();
      },
    },
  };
}

/** A root whose parent's list begins with the last of these. */
async function rootOver(nodes: readonly Block[]): Promise<Cid> {
  const chain = await CommitChain.create();
  const before = chain.make("before", undefined, { kept: nodes.at(-1)?.cid as Cid });
  const root = chain.make("root", before);
  for (const { cid, bytes } of [...nodes, ...before.blocks, ...root.blocks]) blocks.held.set(cid, bytes);
  return root.commit.cid;
}

/** A leaf, and above it so many nodes, each with forty links to the one below. */
function levels(count: number): Block[] {
  const nodes = [nodeBlock("the lowest")];
  while (nodes.length <= count)
    nodes.push(
      listNode(
        nodes.length,
        Array.from({ length: 40 }, () => nodes.at(-1) as Block),
      ),
    );
  return nodes;
}

function listNode(level: number, children: readonly Block[]): Block {
  const encoder = new NodeEncoder();
  for (const [index, { cid }] of children.entries()) encoder.addChild(Buffer.of(index), 1, cid);
  return blockOf("dag-cbor", encoder.encode(level));
}

/** What `levels` linked from there. */
function childrenOf(nodes: readonly Block[], cid: Cid): Cid[] {
  const below = nodes[nodes.findIndex((node) => node.cid === cid) - 1];
  return below === undefined ? [] : [below.cid];
}
