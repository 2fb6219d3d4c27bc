import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { NodeEncoder } from "../../../src/format/tree/node-encoder.ts";
import { MIN_NODES_KEPT } from "../../../src/tree/node-store.ts";
import { get, peekGet, peekRange } from "../../../src/tree/read.ts";
import { BlockMap } from "../../support/block-map.ts";
import type { Model } from "../../support/trees.ts";
import { build, entriesOf, keyOf, reopened, testTrees } from "../../support/trees.ts";

const MANY: Model = new Map(
  Array.from({ length: 2_000 }, (_, index) => [keyOf(index), { value: Buffer.alloc(20, index), links: [] }]),
);

describe("the cache", () => {
  test("stays within its capacity, and keeps frequently used nodes", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const nodes = reopened(trees.blocks, 40_000);
    const keys = entriesOf(MANY).map(({ key }) => key);
    await get(nodes, root, keys[0] ?? Buffer.of());
    for (const key of keys) {
      await get(nodes, root, key);
      expect(nodes.bytes).toBeLessThanOrEqual(40_000);
    }
    expect(trees.blocks.reads.filter((cid) => cid === root)).toHaveLength(1);
  });

  test("holds a whole descent, however small its capacity", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const nodes = reopened(trees.blocks, 0);
    for (const { key, value } of entriesOf(MANY)) {
      const { result } = await untilLoaded(nodes, () => peekGet(nodes, root, key));
      expect(Buffer.from(result?.value ?? []).equals(value)).toBe(true);
    }
    expect(MIN_NODES_KEPT * 256 * 4).toBeGreaterThan(nodes.bytes);
  });

  test("drops released nodes, and reads them again on demand", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const nodes = reopened(trees.blocks);
    const child = (await nodes.node(root)).childAt(0);
    const before = nodes.bytes;
    await nodes.node(child);
    nodes.release([child, child]);
    expect([nodes.bytes, nodes.peek(child)]).toEqual([before, undefined]);
    trees.blocks.forgetCounts();
    await nodes.node(child);
    expect(trees.blocks.reads).toEqual([child]);
  });

  test("reads a node once for concurrent callers", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const nodes = reopened(trees.blocks);
    trees.blocks.forgetCounts();
    await Promise.all([nodes.node(root), nodes.node(root), nodes.load([root, root])]);
    expect(trees.blocks.reads).toEqual([root]);
  });

  test("reports a block that is not a node only to those who asked for it", async () => {
    const trees = testTrees();
    const parent = await trees.nodes.node(await build(trees, MANY));
    const [damaged, whole] = [parent.childAt(0), parent.childAt(1)];
    trees.blocks.held.set(damaged, Buffer.from("no node"));
    const nodes = reopened(trees.blocks);
    trees.blocks.forgetCounts();
    const together = nodes.load([damaged, whole]);
    const alone = nodes.node(whole);
    await expect(together).rejects.toMatchObject({ code: "format_invalid" });
    expect((await alone).total).toBe(parent.childTotal(1));
    expect(trees.blocks.reads).toEqual([damaged, whole]);
  });

  test("refuses a damaged node, whatever node it resembles", async () => {
    const trees = testTrees();
    const whole = await trees.nodes.node(await build(trees, MANY));
    const like = await trees.nodes.child(whole, 0);
    const damage = Buffer.from(like.bytes);
    damage.writeUInt32LE(0xffffffff, like.layout.tailEnds);
    const cid = cidOf("dag-cbor", damage);
    trees.blocks.held.set(cid, damage);
    const nodes = reopened(trees.blocks);
    await expect(nodes.nodes([cid], [like])).rejects.toMatchObject({ code: "format_invalid" });
    await expect(nodes.nodes([whole.childAt(0), cid])).rejects.toMatchObject({ code: "format_invalid" });
  });

  test("tries again after a failed read", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const empty = new BlockMap();
    const nodes = reopened(empty);
    await expect(nodes.load([root])).rejects.toMatchObject({ code: "block_not_found" });
    empty.held.set(root, trees.blocks.held.get(root) ?? Buffer.of());
    expect((await nodes.node(root)).total).toBe(MANY.size);
  });
});

describe("synchronous reads", () => {
  test("report the one node that they miss", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const nodes = reopened(trees.blocks);
    const { misses } = await untilLoaded(nodes, () => peekGet(nodes, root, Buffer.from(keyOf(500), "hex")));
    expect(misses[0]).toEqual([root]);
    expect(misses).toHaveLength((await nodes.node(root)).level + 1);
    expect(misses.every((cids) => cids.length === 1)).toBe(true);
  });

  test("of a range report its missing leaves together, as many as the limit needs", async () => {
    const trees = testTrees({ targetBytes: 1024 });
    const root = await build(trees, MANY);
    const all = reopened(trees.blocks);
    const { result, misses } = await untilLoaded(all, () => peekRange(all, root, undefined, undefined, 300));
    expect(result).toHaveLength(300);
    expect(misses.length).toBeLessThan(12);
    const few = reopened(trees.blocks);
    const small = await untilLoaded(few, () => peekRange(few, root, undefined, undefined, 3));
    expect(small.misses.flat().length).toBeLessThan(8);
  });

  test("of a long range finish even in the smallest cache", async () => {
    const trees = testTrees();
    const root = await build(trees, MANY);
    const nodes = reopened(trees.blocks, 0);
    const { result } = await untilLoaded(nodes, () => peekRange(nodes, root, undefined, undefined, 100));
    expect(result).toHaveLength(100);
  });
});

describe("a child that does not fit its parent is refused:", () => {
  const leaf = leafOf(["b", "c"]);
  test.each([
    ["its last key is below its parent's key", { key: "d", total: 2 }],
    ["its last key is above its parent's key", { key: "bb", total: 2 }],
    ["it holds a different number of entries", { key: "c", total: 3 }],
    ["it begins before its range", { key: "c", total: 2, before: "b" }],
  ])("%s", async (_, { key, total, ...rest }) => {
    const blocks = new BlockMap();
    const before = "before" in rest ? [{ key: rest.before, total: 1, node: leafOf([rest.before]) }] : [];
    const root = innerOf(blocks, 1, [...before, { key, total, node: leaf }]);
    expect(await codesOf(blocks, root, key)).toEqual(REFUSED);
  });

  test("it has another level", async () => {
    const blocks = new BlockMap();
    const root = innerOf(blocks, 2, [{ key: "c", total: 2, node: leaf }]);
    expect(await codesOf(blocks, root, "c")).toEqual(REFUSED);
  });

  test("it is empty", async () => {
    const blocks = new BlockMap();
    const root = innerOf(blocks, 1, [{ key: "c", total: 1, node: leafOf([]) }]);
    expect(await codesOf(blocks, root, "c")).toEqual(REFUSED);
  });
});

const REFUSED = ["format_invalid", "format_invalid"];

/** The codes that an asynchronous and a synchronous read fail with. */
function codesOf(blocks: BlockMap, root: Cid, key: string): Promise<unknown[]> {
  const nodes = reopened(blocks);
  const reads = [get(nodes, root, Buffer.from(key)), untilLoaded(nodes, () => peekGet(nodes, root, Buffer.from(key)))];
  const code = (error: unknown) => (error instanceof SynclineError ? error.code : error);
  return Promise.all(reads.map((read) => read.catch(code)));
}

function leafOf(keys: readonly string[]): Uint8Array {
  const encoder = new NodeEncoder();
  for (const key of keys) encoder.add(Buffer.from(key), Buffer.from("value"), []);
  return encoder.encode(0);
}

function innerOf(
  blocks: BlockMap,
  level: number,
  children: readonly { key: string; total: number; node: Uint8Array }[],
): Cid {
  const encoder = new NodeEncoder();
  for (const { key, total, node } of children) {
    const cid = cidOf("dag-cbor", node);
    blocks.held.set(cid, node);
    encoder.addChild(Buffer.from(key), total, cid);
  }
  const bytes = encoder.encode(level);
  const root = cidOf("dag-cbor", bytes);
  blocks.held.set(root, bytes);
  return root;
}

/** Runs a synchronous read until it misses nothing; says what it missed on the way. */
async function untilLoaded<Result>(
  nodes: ReturnType<typeof reopened>,
  read: () => Result,
): Promise<{ result: Result; misses: (readonly Cid[])[] }> {
  const misses: (readonly Cid[])[] = [];
  for (let turn = 0; turn < 200; turn++) {
    try {
      return { result: read(), misses };
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      misses.push(error.cids);
      await nodes.load(error.cids);
    }
  }
  throw new Error("The read never found all that it needs.");
}
