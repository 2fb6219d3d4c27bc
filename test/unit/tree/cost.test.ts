import { beforeAll, describe, expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { diff, diffBeside } from "../../../src/tree/diff.ts";
import { editTree } from "../../../src/tree/edit.ts";
import type { Edit } from "../../../src/tree/entry.ts";
import { mergeTrees } from "../../../src/tree/merge.ts";
import { get, range } from "../../../src/tree/read.ts";
import type { Model, TestTrees } from "../../support/trees.ts";
import { build, editOf, modelOf, NOWHERE, reopened, testTrees } from "../../support/trees.ts";

/** 20,000 entries in nodes of 1 KiB: four levels, about 1,900 leaves. */
const ENTRIES = 20_000;
const trees = testTrees({ targetBytes: 1024 });
let root: Cid;
let height: number;

beforeAll(async () => {
  root = await build(
    trees,
    model(() => "row"),
  );
  height = (await trees.nodes.node(root)).level + 1;
});

test("the tree of these tests is four levels high", () => {
  expect(height).toBe(4);
});

describe("reads and writes", () => {
  test("a get reads one path", async () => {
    const { nodes } = cold();
    await get(nodes, root, keyAt(7_000));
    expect(trees.blocks.reads.length).toBe(height);
  });

  test("an edit reads one path and writes one path", async () => {
    const { nodes, config, blocks } = cold();
    await editTree(nodes, blocks, config, root, [put(9_000, "changed")]);
    expect(blocks.reads.length).toBe(height);
    expect(blocks.puts.length).toBe(height);
    expect(blocks.putBytes).toBeLessThan(4 * height * 1024);
  });

  test("edits across the tree ask the store once per level and batch, not once per node", async () => {
    const { nodes, config, blocks } = cold();
    const edits = Array.from({ length: 200 }, (_, index) => put(index * 100, "changed"));
    await editTree(nodes, NOWHERE, config, root, edits);
    expect(blocks.reads.length).toBeGreaterThan(200);
    expect(blocks.reads.length).toBeLessThan(200 * 1.7 + 50);
    expect(blocks.requests).toBeLessThan(height + 12);
  });

  test("edits that change nothing write nothing", async () => {
    const { nodes, config, blocks } = cold();
    const same = [put(1_234, "row"), { ...put(ENTRIES, "row"), value: undefined }];
    expect(await editTree(nodes, blocks, config, root, same)).toBe(root);
    expect(blocks.puts).toEqual([]);
  });

  test("an empty edit reads nothing", async () => {
    const { nodes, config, blocks } = cold();
    expect(await editTree(nodes, blocks, config, root, [])).toBe(root);
    expect(blocks.requests).toBe(0);
  });

  test("a diff reads the changed paths of both trees, level by level", async () => {
    const changed = await edited([100, 5_000, 5_001, 19_999]);
    const { nodes, blocks } = cold();
    const keys: string[] = [];
    for await (const { key } of diff(nodes, root, changed)) keys.push(Buffer.from(key).toString());
    expect(keys).toEqual([100, 5_000, 5_001, 19_999].map((index) => keyAt(index).toString()));
    expect(blocks.reads.length).toBeLessThanOrEqual(2 * 3 * height);
    expect(blocks.requests).toBe(height);
  });

  test("a diff of a tree with itself reads nothing", async () => {
    const { nodes, blocks } = cold();
    for await (const change of diff(nodes, root, root)) expect(change).toBeUndefined();
    expect(blocks.requests).toBe(0);
  });

  test("a merge reads no leaf that only one side changed, and reuses it by its address", async () => {
    const mine = await edited(Array.from({ length: 300 }, (_, index) => index));
    const other = await edited(Array.from({ length: 300 }, (_, index) => 12_000 + index));
    const { nodes, blocks, config } = cold();
    const merged = await mergeTrees(nodes, blocks, config, root, mine, other, () => undefined);
    const leaves = await leafReads(trees);
    expect(leaves).toBe(0);
    expect(blocks.puts.length).toBeLessThan(2 * height);
    const expected = model((index) => (index < 300 || (index >= 12_000 && index < 12_300) ? "new" : "row"));
    expect(merged).toBe(await build(trees, expected));
  });

  test("a merge of few changes costs little, however many rows the other side put between them", async () => {
    const sparse = new Map([...model(() => "row")].filter((_, index) => index % 70 === 0));
    const base = await build(trees, sparse);
    const changes = [350, 7_000, 7_070, 19_600].map((index) => put(index, "new"));
    const mine = await editTree(trees.nodes, trees.blocks, trees.config, base, changes);
    const { nodes, blocks, config } = cold();
    const merged = await mergeTrees(nodes, blocks, config, base, mine, root, () => undefined);
    expect(blocks.reads.length).toBeLessThan(400);
    expect(blocks.puts.length).toBeLessThan(40);
    expect(merged).toBe(await edited([350, 7_000, 7_070, 19_600]));
  });

  test("a diff beside a larger tree reads only those of its leaves that hold changed keys", async () => {
    const sparse = new Map([...model(() => "row")].filter((_, index) => index % 70 === 0));
    const base = await build(trees, sparse);
    const changes = [350, 7_000, 7_070, 19_600].map((index) => put(index, "new"));
    const mine = await editTree(trees.nodes, trees.blocks, trees.config, base, changes);
    const { nodes, blocks } = cold();
    for await (const found of diffBeside(nodes, base, mine, root))
      for (const { before, beside } of found) expect(beside).toBe(before);
    expect(blocks.reads.length).toBeGreaterThan(0);
    expect(await leafReads(trees)).toBeLessThanOrEqual(3 * changes.length);
  });

  test("leaves that both sides changed are read once for diff and merge, even if memory cannot hold them all", async () => {
    const mine = await edited(Array.from({ length: 900 }, (_, index) => 22 * index));
    const other = await edited(Array.from({ length: 60 }, (_, index) => 330 * index + 5));
    const { blocks, config } = cold();
    const nodes = reopened(blocks, 1_600_000);
    let changed = 0;
    for await (const changes of diffBeside(nodes, root, mine, other)) changed += changes.length;
    expect(changed).toBe(900);
    await mergeTrees(nodes, blocks, config, root, mine, other, () => undefined);
    const reads = blocks.reads.length;
    const again = blocks.reads.filter((cid, at) => blocks.reads.indexOf(cid) < at);
    const leaves = (await trees.nodes.nodes(again)).filter((node) => node.level === 0).length;
    expect(reads).toBeGreaterThan(1_500);
    expect(leaves).toBeLessThan(30);
  });

  test("a range reads each of its leaves once, in growing batches", async () => {
    const { nodes, blocks } = cold();
    let count = 0;
    for await (const entry of range(nodes, root, { from: keyAt(4_000), to: keyAt(8_000) }))
      count += entry.links.length + 1;
    expect(count).toBe(4_000);
    expect(new Set(blocks.reads).size).toBe(blocks.reads.length);
    expect(blocks.reads.length).toBeLessThan(500);
    expect(blocks.requests).toBeLessThan(60);
  });
});

test("a hundred thousand streamed edits fit through a small cache", async () => {
  const { blocks, config } = trees;
  const nodes = reopened(blocks, 1 << 20);
  let most = 0;
  const edits = (async function* (): AsyncGenerator<Edit> {
    for (let index = 0; index < 100_000; index++) {
      most = Math.max(most, nodes.bytes);
      yield put(index, index % 3 === 0 ? undefined : "streamed");
    }
  })();
  const result = await editTree(nodes, blocks, config, root, edits);
  expect(most).toBeLessThanOrEqual(1 << 20);
  expect((await nodes.node(result)).total).toBe(66_666);
  expect((await modelOf(nodes, result)).size).toBe(66_666);
});

function cold(): TestTrees {
  trees.blocks.forgetCounts();
  return { ...trees, nodes: reopened(trees.blocks) };
}

/** Leaves among what was read since the counts were forgotten. */
async function leafReads({ blocks, nodes }: TestTrees): Promise<number> {
  const read = await nodes.nodes([...blocks.reads]);
  return read.filter((node) => node.level === 0).length;
}

function edited(indexes: readonly number[]): Promise<Cid> {
  const edits = indexes.map((index) => put(index, "new"));
  return editTree(trees.nodes, trees.blocks, trees.config, root, edits);
}

function put(index: number, text: string | undefined): Edit {
  const contents = text === undefined ? undefined : contentsOf(index, text);
  return editOf(keyAt(index).toString("hex"), contents);
}

function model(textOf: (index: number) => string): Model {
  const rows = Array.from({ length: ENTRIES }, (_, index) => index);
  return new Map(rows.map((index) => [keyAt(index).toString("hex"), contentsOf(index, textOf(index))]));
}

function contentsOf(index: number, text: string) {
  return { value: Buffer.from(`${text} ${index} ${"x".repeat(60)}`), links: [] };
}

function keyAt(index: number): Buffer {
  return Buffer.from(
    `directory ${String(Math.floor(index / 100)).padStart(6, "0")}/${String(index % 100).padStart(2, "0")}`,
  );
}
