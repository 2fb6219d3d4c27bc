/**
 * Merges two trees with a common base, key by key. Where only one side changed, its subtrees are taken unread; entries are
 * compared only in leaves that both sides changed.
 */
import type { Cid } from "../base/ids.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import type { TreeConfig } from "./boundary.ts";
import { TreeBuilder } from "./builder.ts";
import { Cursor } from "./cursor.ts";
import { changedKeys, mergeLeaves, type Resolve } from "./merge-leaves.ts";
import { type MergeStep, type OpenStep, planMerge } from "./merge-plan.ts";
import { descend } from "./diff.ts";
import type { NodeStore } from "./node-store.ts";
import { keyText, NO_KEYS, SortedKeys } from "./sorted-keys.ts";
import type { Bounds, Front, Opened, Subtree } from "./subtree.ts";
import { childOf, frontOf, isWhole, openAll, overlaps, windows } from "./subtree.ts";

/**
 * The merged tree: each key as the side that changed it has it, or as `resolve` decides if both did. `resolve` is called in
 * key order, and always for the `forced` keys. New nodes go to `sink`. Rejects as NodeStore.node and
 * `resolve`.
 */
export async function mergeTrees(
  nodes: NodeStore,
  sink: BlockSink,
  config: TreeConfig,
  base: Cid,
  ours: Cid,
  theirs: Cid,
  resolve: Resolve,
  forced: SortedKeys = NO_KEYS,
): Promise<Cid> {
  if (forced.length === 0) {
    if (base === theirs || ours === theirs) return ours;
    if (base === ours) return theirs;
  }
  const roots = [base, ours, theirs];
  const opened = await nodes.nodes(roots);
  const fronts = opened.map((node, side) => frontOf(roots[side] ?? base, node));
  const pass = { nodes, builder: new TreeBuilder(nodes, sink, config), resolve, forced };
  const isEmpty = fronts.every(({ subtrees }) => subtrees.length === 0);
  if (isEmpty) await mergeLeaves(pass.builder, [], EVERYTHING, resolve, forced);
  else await mergeFronts(pass, fronts, EVERYTHING);
  return pass.builder.finish();
}

interface Pass {
  readonly nodes: NodeStore;
  readonly builder: TreeBuilder;
  readonly resolve: Resolve;
  readonly forced: SortedKeys;
}

const EVERYTHING: Bounds = { from: undefined, to: undefined };

/** Merges three sides, base first, within the bounds. */
async function mergeFronts(pass: Pass, fronts: readonly Front[], bounds: Bounds): Promise<void> {
  const { nodes, builder, resolve, forced } = pass;
  const level = Math.max(...fronts.map((front) => front.level));
  const sides = fronts.map((front) => (front.level === level ? front.subtrees : []));
  for (const window of windows(sides, bounds, nodes.batch)) {
    const opened = await openAll(nodes, window.fronts);
    if (level === 0) {
      await mergeLeaves(builder, opened, window.bounds, resolve, forced.within(window.bounds));
    } else if (fronts.every((front) => front.level === level)) {
      await follow(pass, level - 1, planMerge(opened, window.bounds, forced));
    } else {
      await mergeFronts(pass, lower(fronts, level, opened, window.bounds), window.bounds);
    }
  }
}

/** Descends one level on the sides that have it; lower trees wait until the trees are equally high. */
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

/** Adds what the plan takes, and merges its open steps one level further down, in one read. */
async function follow(pass: Pass, level: number, steps: readonly MergeStep[]): Promise<void> {
  const { nodes, builder } = pass;
  for (const batch of batchesOf(steps, nodes.batch)) {
    const [first] = batch;
    if (batch.length === 1 && first?.kind === "open" && isLopsided(first)) {
      await mergeInParts(pass, level, first);
      continue;
    }
    const open = batch.flatMap(openedBy);
    const fits = open.length <= nodes.batch;
    if (fits) await nodes.load(open);
    if (fits && level > 0) {
      await follow(pass, level - 1, await refine(pass, batch));
      continue;
    }
    for (const step of batch) {
      if (step.kind === "take") await builder.addFrom(step.opened.node, step.from, step.to, step.opened.subtree.last);
      else await mergeFronts(pass, frontsOf(level, step.sides), step.bounds);
    }
  }
}

/** Whether theirs has many more nodes than the others together: most of them then contain none of our changes. */
function isLopsided({ sides: [base = [], ours = [], theirs = []] }: OpenStep): boolean {
  return theirs.length > 2 * (base.length + ours.length) + 2;
}

/** Takes their nodes where ours changed nothing, and opens the others one by one. */
async function mergeInParts(pass: Pass, level: number, { bounds, sides }: OpenStep): Promise<void> {
  const { nodes, builder, forced } = pass;
  const [base = [], ours = [], theirs = []] = sides;
  const texts: string[] = [];
  for await (const window of descend(nodes, frontsOf(level, [base, ours]), bounds, 0))
    for (const { key } of changedKeys(window.opened, window.bounds)) texts.push(keyText(key));
  const changed = new SortedKeys(texts);
  let from = bounds.from;
  for (const [at, subtree] of theirs.entries()) {
    const part: Bounds = { from, to: at === theirs.length - 1 ? bounds.to : subtree.high };
    const isLeft = changed.within(part).length === 0 && forced.within(part).length === 0;
    if (isLeft && isWhole(subtree, part) && subtree.place !== undefined) {
      const { parent, index } = subtree.place;
      await builder.addFrom(parent, index, index + 1, subtree.last);
    } else {
      const within = [base, ours, [subtree]].map((side) => side.filter((each) => overlaps(each, part)));
      await mergeFronts(pass, frontsOf(level, within), part);
    }
    from = part.to;
  }
}

/** The plan, with its open steps planned in turn. */
async function refine({ nodes, forced }: Pass, steps: readonly MergeStep[]): Promise<MergeStep[]> {
  const refined: MergeStep[] = [];
  for (const step of steps) {
    if (step.kind === "take") refined.push(step);
    else refined.push(...planMerge(await openAll(nodes, step.sides), step.bounds, forced));
  }
  return refined;
}

/** Groups steps, in order, to open at most `limit` nodes; a step that opens more, or is lopsided, is alone. */
function* batchesOf(steps: readonly MergeStep[], limit: number): Generator<MergeStep[]> {
  let batch: MergeStep[] = [];
  let open = 0;
  for (const step of steps) {
    const count = openedBy(step).length;
    const isAlone = step.kind === "open" && isLopsided(step);
    if (batch.length > 0 && (isAlone || open + count > limit)) {
      yield batch;
      batch = [];
      open = 0;
    }
    if (isAlone) {
      yield [step];
      continue;
    }
    batch.push(step);
    open += count;
  }
  if (batch.length > 0) yield batch;
}

function openedBy(step: MergeStep): Cid[] {
  return step.kind === "take" ? [] : step.sides.flat().map(({ cid }) => cid);
}

function frontsOf(level: number, sides: readonly (readonly Subtree[])[]): Front[] {
  return sides.map((subtrees) => ({ level, subtrees }));
}
