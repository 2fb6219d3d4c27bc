/** What a collection at a master keeps beside all that a root reaches. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Cid } from "../../src/base/ids.ts";
import { NodeEncoder } from "../../src/format/node-encoder.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { type Sparing, spareBesidesReached } from "../../src/master/gc/spared.ts";
import { BlockMap } from "../support/block-map.ts";
import { blockOf, CommitChain, nodeBlock } from "../support/commit-chain.ts";

let blocks: BlockMap;
/** In the order in which they were read, and the first time of each that it was spared. */
let read: Cid[];
let spared: Set<Cid>;
let pauses: number;
/** Runs at each pause. */
let onPause: () => void;

beforeEach(() => {
  blocks = new BlockMap();
  read = [];
  spared = new Set();
  pauses = 0;
  onPause = () => {};
});

describe("the list of the root before", () => {
  test("is looked at once a node, however often its writer linked it", async () => {
    const nodes = levels(8);
    await spareBesidesReached(sparing(), await rootOver(nodes));
    expect([...spared].toSorted()).toEqual(nodes.map(({ cid }) => cid).toSorted());
    const listed = new Set(nodes.map(({ cid }) => cid));
    // What lies below the lowest links is known to be a leaf.
    expect(read.filter((cid) => listed.has(cid))).toHaveLength(nodes.length - 1);
  });

  test("is gone on with where its walk was cut short, and others have their turn before each node", async () => {
    const nodes = levels(8);
    const root = await rootOver(nodes);
    for (let allowed = 1; ; allowed++) {
      let left = allowed;
      onPause = () => {
        if (left-- === 0) throw new Error("it is to end");
      };
      const outcome = await spareBesidesReached(sparing(), root).catch((error: Error) => error.message);
      if (outcome === undefined) break;
      expect(outcome).toBe("it is to end");
      for (const cid of spared) for (const child of childrenOf(nodes, cid)) expect(spared).toContain(child);
      read.length = 0;
    }
    expect([...spared].toSorted()).toEqual(nodes.map(({ cid }) => cid).toSorted());
    read.length = pauses = 0;
    onPause = () => {};
    await spareBesidesReached(sparing(), root);
    expect(pauses).toBeGreaterThanOrEqual(read.length - 1);
  });

  test("ends where a node lies below one of no higher level: that is no list", async () => {
    const [leaf, node] = levels(2) as [Block, Block];
    const strange = listNode(1, [node]);
    const stranger = listNode(3, [listNode(2, [strange]), listNode(3, [strange])]);
    for (const { cid, bytes } of [strange, listNode(2, [strange]), listNode(3, [strange])]) blocks.held.set(cid, bytes);
    await spareBesidesReached(sparing(), await rootOver([leaf, node, stranger]));
    expect(spared).toContain(node.cid);
    expect(spared).toContain(listNode(3, [strange]).cid);
    expect(spared).not.toContain(leaf.cid);
  });
});

function sparing(): Sparing {
  return {
    blocks: {
      get: async (cid) => {
        read.push(cid);
        return blocks.get(cid);
      },
    },
    spare: async (cids) => {
      for (const cid of cids) spared.add(cid);
    },
    isSpared: (cid) => spared.has(cid),
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
