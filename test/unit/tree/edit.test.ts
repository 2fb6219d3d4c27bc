import { describe, expect, test } from "vitest";
import { MAX_ENTRY_BYTES, MAX_ENTRY_LINKS, MAX_NODE_BYTES } from "../../../src/base/limits.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { buildTree, editTree, emptyTree } from "../../../src/tree/edit.ts";
import type { Edit, Entry } from "../../../src/tree/entry.ts";
import { get } from "../../../src/tree/read.ts";
import { entriesOf, keyOf, reopened, testTrees } from "../../support/trees.ts";

const A_LINK = cidOf("raw", Buffer.from("content"));

describe("an invalid entry is refused:", () => {
  test.each([
    ["an empty key", entry("", 1)],
    ["more bytes than a node may hold", entry("key", MAX_ENTRY_BYTES)],
    ["more links than one byte can count", { ...entry("key", 1), links: Array(MAX_ENTRY_LINKS + 1).fill(A_LINK) }],
  ])("%s", async (_, refused: Entry) => {
    const { nodes, blocks, config } = testTrees();
    const empty = await emptyTree(nodes, blocks, config);
    const edited = editTree(nodes, blocks, config, empty, [refused]);
    await expect(edited).rejects.toMatchObject({ code: "limit_exceeded" });
    await expect(buildTree(nodes, blocks, config, [refused])).rejects.toMatchObject({ code: "limit_exceeded" });
  });
});

test("the largest entries make nodes that decoders accept", async () => {
  const trees = testTrees({ targetBytes: 24 * 1024 });
  const entries = Array.from({ length: 60 }, (_, index) => entry(`key ${1000 + index}`, MAX_ENTRY_BYTES - 8));
  const root = await buildTree(trees.nodes, trees.blocks, trees.config, entries);
  const sizes = trees.blocks.puts.map(({ bytes }) => bytes.length);
  expect(Math.max(...sizes)).toBeLessThan(MAX_NODE_BYTES);
  for (const { key, value } of entries) {
    const found = await get(reopened(trees.blocks), root, key);
    expect(found?.value.length).toBe(value.length);
  }
});

test("edits out of order are refused, and their source is closed", async () => {
  const { nodes, blocks, config } = testTrees();
  const empty = await emptyTree(nodes, blocks, config);
  let closed = false;
  const edits = (function* (): Generator<Edit> {
    try {
      yield entry("b", 1);
      yield entry("a", 1);
      yield entry("c", 1);
    } finally {
      closed = true;
    }
  })();
  await expect(editTree(nodes, blocks, config, empty, edits)).rejects.toMatchObject({ code: "usage" });
  expect(closed).toBe(true);
});

test("a slow sink slows the edit down", async () => {
  const { nodes, config, blocks } = testTrees();
  const entries = entriesOf(
    new Map(Array.from({ length: 200 }, (_, index) => [keyOf(index), { value: Buffer.alloc(9), links: [] }])),
  );
  let waiting = 0;
  let most = 0;
  const sink = {
    put: async (block: Parameters<typeof blocks.put>[0]) => {
      most = Math.max(most, ++waiting);
      await Promise.resolve();
      blocks.put(block);
      waiting--;
    },
  };
  const root = await buildTree(nodes, sink, config, entries);
  expect(most).toBe(1);
  expect((await reopened(blocks).node(root)).total).toBe(entries.length);
});

test("a node that was read as a slice of a larger buffer does not keep that buffer in memory", async () => {
  const trees = testTrees();
  const root = await buildTree(trees.nodes, trees.blocks, trees.config, [entry("key", 10)]);
  const block = trees.blocks.held.get(root) ?? Buffer.of();
  const long = new Uint8Array(1 << 20);
  long.set(block, 1000);
  trees.blocks.held.set(root, long.subarray(1000, 1000 + block.length));
  const node = await reopened(trees.blocks).node(root);
  expect(node.bytes.buffer.byteLength).toBe(block.length);
});

function entry(key: string, length: number): Entry {
  return { key: Buffer.from(key), value: Buffer.alloc(length), links: [] };
}
