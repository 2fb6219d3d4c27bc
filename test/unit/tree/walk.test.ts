import { describe, expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { decodeNode } from "../../../src/format/tree/node-decoder.ts";
import { NodeEncoder } from "../../../src/format/tree/node-encoder.ts";
import type { WalkStep } from "../../../src/tree/walk.ts";
import { walkTree } from "../../../src/tree/walk.ts";
import type { Model, TestTrees } from "../../support/trees.ts";
import { build, keyOf, reopened, testTrees } from "../../support/trees.ts";

const MODEL: Model = new Map(
  Array.from({ length: 800 }, (_, index) => [keyOf(index), { value: Buffer.alloc(20, index), links: [] }]),
);

describe("a walk", () => {
  test("visits every node of an intact tree once", async () => {
    const trees = testTrees();
    const steps = await walk(trees, await build(trees, MODEL));
    expect(steps.every(({ kind }) => kind === "node")).toBe(true);
    expect(new Set(steps.map(({ cid }) => cid))).toEqual(new Set(trees.blocks.held.keys()));
    expect(steps).toHaveLength(trees.blocks.held.size);
  });

  test("visits the one leaf of the empty tree", async () => {
    const trees = testTrees();
    expect(await walk(trees, await build(trees, new Map()))).toHaveLength(1);
  });

  test("continues past a missing node, and reports which keys it hides", async () => {
    const trees = testTrees();
    const root = await build(trees, MODEL);
    const sound = await walk(trees, root);
    const lost = sound.filter((step) => step.kind === "node" && step.node.level === 0)[7];
    const gone = lost?.kind === "node" ? lost : undefined;
    trees.blocks.held.delete(gone?.cid ?? root);
    const steps = await walk(trees, root);
    expect(steps).toHaveLength(sound.length);
    const damage = steps.find((step) => step.kind === "damage");
    expect(damage).toMatchObject({ cid: gone?.cid, error: { code: "block_not_found" } });
    expect(damage?.kind === "damage" && damage.bounds.to).toEqual(gone?.node.keyAt(gone.node.count - 1));
  });

  test("reports a missing root", async () => {
    const trees = testTrees();
    const root = await build(trees, MODEL);
    trees.blocks.held.clear();
    expect(await walk(trees, root)).toMatchObject([{ kind: "damage", cid: root }]);
  });

  test("reports nodes with a wrong boundary, and continues below them", async () => {
    const trees = testTrees();
    const root = await build(trees, MODEL);
    const other = testTrees({ targetBytes: 700 });
    const steps = await walk({ ...trees, config: other.config }, root);
    expect(steps.filter(({ kind }) => kind === "misshapen").length).toBeGreaterThan(10);
    expect(steps.filter(({ kind }) => kind === "node")).toHaveLength(trees.blocks.held.size);
  });

  test("reports a root with one child", async () => {
    const trees = testTrees();
    const root = await build(trees, MODEL);
    const node = decodeNode(trees.blocks.held.get(root) ?? Buffer.of());
    const encoder = new NodeEncoder();
    encoder.addChild(node.keyAt(node.count - 1), node.total, root);
    const bytes = encoder.encode(node.level + 1);
    trees.blocks.put({ cid: cidOf("dag-cbor", bytes), bytes });
    const [first] = await walk(trees, cidOf("dag-cbor", bytes));
    expect(first).toMatchObject({ kind: "misshapen" });
  });
});

async function walk({ blocks, config }: TestTrees, root: Cid): Promise<WalkStep[]> {
  const steps: WalkStep[] = [];
  for await (const step of walkTree(reopened(blocks), config, root)) steps.push(step);
  return steps;
}
