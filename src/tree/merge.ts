/**
 * Merges two trees that come from one base, key by key. Where only one side changed, its subtrees are taken as they are,
 * unread; entries are compared only in leaves that both sides changed.
 */
import type { Cid } from "../base/ids.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import type { TreeConfig } from "./boundary.ts";
import { TreeBuilder } from "./builder.ts";
import { Cursor } from "./cursor.ts";
import type { Resolve } from "./merge-leaves.ts";
import { mergeLeaves } from "./merge-leaves.ts";
import type { MergeStep } from "./merge-plan.ts";
import { planMerge } from "./merge-plan.ts";
import type { NodeStore } from "./node-store.ts";
import type { Bounds, Front, Opened, Subtree } from "./subtree.ts";
import { childOf, frontOf, openAll, overlaps, windows } from "./subtree.ts";

/**
 * The tree that holds each key as the side that changed it has it, and as `resolve` says where both did. `resolve` is
 * called in the order of the keys. New nodes go to `sink`. Rejects as NodeStore.node and `resolve`.
 */
export async function mergeTrees(
  nodes: NodeStore,
  sink: BlockSink,
  config: TreeConfig,
  base: Cid,
  ours: Cid,
  theirs: Cid,
  resolve: Resolve,
): Promise<Cid> {
  if (base === theirs || ours === theirs) return ours;
  if (base === ours) return theirs;
  const roots = [base, ours, theirs];
  const opened = await nodes.nodes(roots);
  const fronts = opened.map((node, side) => frontOf(roots[side] ?? base, node));
  const pass = { nodes, builder: new TreeBuilder(nodes, sink, config), resolve };
  await mergeFronts(pass, fronts, { from: undefined, to: undefined });
  return pass.builder.finish();
}

interface Pass {
  readonly nodes: NodeStore;
  readonly builder: TreeBuilder;
  readonly resolve: Resolve;
}

/** Merges what these three sides, base first, have within the bounds. */
async function mergeFronts(pass: Pass, fronts: readonly Front[], bounds: Bounds): Promise<void> {
  const { nodes, builder, resolve } = pass;
  const level = Math.max(...fronts.map((front) => front.level));
  const sides = fronts.map((front) => (front.level === level ? front.subtrees : []));
  for (const window of windows(sides, bounds, nodes.batch)) {
    const opened = await openAll(nodes, window.fronts);
    if (level === 0) {
      await mergeLeaves(builder, opened, window.bounds, resolve);
    } else if (fronts.every((front) => front.level === level)) {
      await follow(pass, level - 1, planMerge(opened, window.bounds));
    } else {
      await mergeFronts(pass, lower(fronts, level, opened, window.bounds), window.bounds);
    }
  }
}

/** One level down on the sides that have this level; the others wait until the trees are equally high. */
function lower(fronts: readonly Front[], level: number, opened: readonly Opened[][], bounds: Bounds): Front[] {
  return fronts.map((front, side) => {
    if (front.level < level) {
      return { level: front.level, subtrees: front.subtrees.filter((subtree) => overlaps(subtree, bounds)) };
    }
    const subtrees: Subtree[] = [];
    for (const at = new Cursor(opened[side] ?? [], bounds); at.opened !== undefined; at.advance()) {
      subtrees.push(childOf(at.opened, at.index));
    }
    return { level: level - 1, subtrees };
  });
}

/** Adds what the plan takes, and merges what it leaves open a level further down. */
async function follow(pass: Pass, level: number, steps: readonly MergeStep[]): Promise<void> {
  const { nodes, builder } = pass;
  let loaded = 0;
  for (const [index, step] of steps.entries()) {
    if (step.kind === "take") {
      await builder.addFrom(step.opened.node, step.from, step.to, step.opened.subtree.last);
      continue;
    }
    if (index >= loaded) loaded = await loadAhead(nodes, steps, index);
    const fronts = step.sides.map((subtrees) => ({ level, subtrees }));
    await mergeFronts(pass, fronts, step.bounds);
  }
}

/** Reads what the steps from `first` on leave open, up to a batch; returns the index of the first step that was left out. */
async function loadAhead(nodes: NodeStore, steps: readonly MergeStep[], first: number): Promise<number> {
  const wanted: Cid[] = [];
  let index = first;
  for (; index < steps.length; index++) {
    const step = steps[index];
    if (step?.kind !== "open") continue;
    const cids = step.sides.flat().map(({ cid }) => cid);
    if (index > first && wanted.length + cids.length > nodes.batch) break;
    // One step may be longer than a batch: it is read window by window when its turn comes.
    wanted.push(...cids.slice(0, nodes.batch));
  }
  await nodes.load(wanted);
  return index;
}
