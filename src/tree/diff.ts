/**
 * The difference between two trees. Both are descended together, one request per level of a window. Nodes that both trees
 * have are never read, so the cost follows the changes. A third tree can be read beside them at the changes.
 */
import { compareBytes } from "../base/bytes.ts";
import type { Cid } from "../base/ids.ts";
import { Cursor } from "./cursor.ts";
import { type Entry, entryAt } from "./entry.ts";
import { type NodeStore, openedAs } from "./node-store.ts";
import type { Bounds, Front, Opened, Subtree } from "./subtree.ts";
import { childOf, frontOf, openAll, overlaps, windows } from "./subtree.ts";

export interface Change {
  readonly key: Uint8Array;
  /** Undefined: added. */
  readonly before: Entry | undefined;
  /** Undefined: deleted. */
  readonly after: Entry | undefined;
}

/** A change, with a third tree's entry at its key. */
export interface ChangeBeside extends Change {
  /** The same object as `before` if both are equal. */
  readonly beside: Entry | undefined;
}

/** The changes that lead from tree `a` to tree `b`, in the order of their keys. Rejects as NodeStore.node. */
export async function* diff(nodes: NodeStore, a: Cid, b: Cid): AsyncGenerator<Change> {
  for await (const changes of diffBatches(nodes, a, b)) yield* changes;
}

/** As `diff`, in batches: for callers with many changes, since each awaited step costs. */
export async function* diffBatches(nodes: NodeStore, a: Cid, b: Cid): AsyncGenerator<Change[]> {
  for await (const { opened, bounds } of differing(nodes, [a, b], 0)) {
    const changes = compareLeaves(opened, bounds);
    if (changes.length > 0) yield changes;
  }
}

/**
 * As `diffBatches`, with the entries of tree `c` at those keys. Reads only the leaves of `c` that have changed keys in
 * their ranges. Keeps in memory those that a three-way merge will open: where `c` differs from `a`.
 */
export async function* diffBeside(nodes: NodeStore, a: Cid, b: Cid, c: Cid): AsyncGenerator<ChangeBeside[]> {
  for await (const { opened, beside, bounds } of differing(nodes, [a, b, c], 0)) {
    const changes = compareLeaves(opened, bounds);
    const before = opened[0] ?? [];
    const third = await openBeside(nodes, before, subtreesWith(beside, changes));
    const { batch, contested } = readBeside(changes, before, third, bounds);
    if (batch.length > 0) yield batch;
    for (const side of opened) nodes.release(unwanted(side, contested, bounds));
  }
}

/** How many leaves only one of the trees has, a window at a time: known from their parents, without reading leaves. */
export async function* differingLeaves(nodes: NodeStore, a: Cid, b: Cid): AsyncGenerator<number> {
  for await (const { level, opened, bounds } of differing(nodes, [a, b], 1)) {
    const [before, after] = level === 0 ? opened : differingChildren(opened, bounds);
    yield (before?.length ?? 0) + (after?.length ?? 0);
  }
}

/** The trees' nodes of one level within bounds. */
interface Window {
  readonly level: number;
  readonly opened: readonly (readonly Opened[])[];
  /** The third tree's leaves, unopened. */
  readonly beside: readonly Subtree[];
  readonly bounds: Bounds;
}

/** Descends where the first two trees differ, to the level `floor`, or to the leaves of lower trees. */
async function* differing(nodes: NodeStore, roots: readonly Cid[], floor: number): AsyncGenerator<Window> {
  if (roots[0] === roots[1]) return;
  const opened = await nodes.nodes(roots);
  const fronts = roots.map((root, side) => {
    const node = opened[side];
    return node === undefined ? { level: 0, subtrees: [] } : frontOf(root, node);
  });
  yield* descend(nodes, fronts, { from: undefined, to: undefined }, floor);
}

export async function* descend(
  nodes: NodeStore,
  fronts: readonly Front[],
  bounds: Bounds,
  floor: number,
): AsyncGenerator<Window> {
  const level = Math.max(...fronts.map((front) => front.level));
  const sides = fronts.map((front) => (front.level === level ? front.subtrees : []));
  for (const window of windows(sides, bounds, nodes.batch)) {
    const beside = level === 0 ? (window.fronts[2] ?? []) : [];
    const opened = await openAll(nodes, level === 0 ? window.fronts.slice(0, 2) : window.fronts);
    if (level <= floor) {
      yield { level, opened, beside, bounds: window.bounds };
      continue;
    }
    const children = differingChildren(opened, window.bounds);
    // A lower tree waits at its root's level until the higher ones have descended to it.
    const below: Front[] = [];
    for (const [side, front] of fronts.entries()) {
      if (front.level < level) {
        below.push({ level: front.level, subtrees: front.subtrees.filter((each) => overlaps(each, window.bounds)) });
        continue;
      }
      const lists = below.map(({ subtrees }) => subtrees);
      const subtrees = children[side] ?? childrenWithin(opened[side] ?? [], window.bounds, lists);
      below.push({ level: level - 1, subtrees });
    }
    yield* descend(nodes, below, window.bounds, floor);
  }
}

function compareLeaves([before = [], after = []]: Window["opened"], bounds: Bounds): Change[] {
  const changes: Change[] = [];
  join(before, after, bounds, (a, b) => {
    const old = a?.opened && entryAt(a.opened.node, a.index);
    const now = b?.opened && entryAt(b.opened.node, b.index);
    const key = (old ?? now)?.key;
    if (key !== undefined) changes.push({ key, before: old, after: now });
  });
  return changes;
}

/** The subtrees that may have one of the changes' keys; both lists are in key order. */
function subtreesWith(subtrees: readonly Subtree[], changes: readonly Change[]): Subtree[] {
  let next = 0;
  return subtrees.filter(({ low, high }) => {
    for (let change = changes[next]; change !== undefined; change = changes[++next])
      if (low === undefined || compareBytes(change.key, low) > 0) return compareBytes(change.key, high) <= 0;
    return false;
  });
}

/** The third tree's leaves. Those that the first has at the same ends are known; one request reads the rest. */
async function openBeside(
  nodes: NodeStore,
  before: readonly Opened[],
  wanted: readonly Subtree[],
): Promise<readonly Opened[]> {
  let next = 0;
  const known = wanted.map((subtree) => {
    for (let leaf = before[next]; leaf !== undefined; leaf = before[++next]) {
      const order = compareBytes(leaf.subtree.high, subtree.high);
      if (order === 0 && isSameChild(leaf.subtree, subtree)) return openedAs(subtree, leaf.node);
      if (order >= 0) break;
    }
    return undefined;
  });
  const unknown = wanted.filter((_, at) => known[at] === undefined);
  const alike = before.map(({ node }) => node);
  const read = await nodes.subtrees(unknown, alike);
  let used = 0;
  return known.flatMap((opened) => opened ?? read[used++] ?? []);
}

function isSameChild({ place: a }: Subtree, { place: b }: Subtree): boolean {
  return a !== undefined && b !== undefined && a.parent.sameValue(a.index, b.parent, b.index);
}

/** The third tree's entries at the changes, and the changes whose leaf is not among the first tree's. */
function readBeside(
  changes: readonly Change[],
  before: readonly Opened[],
  third: readonly Opened[],
  bounds: Bounds,
): { readonly batch: ChangeBeside[]; readonly contested: readonly Change[] } {
  const shared = new Set(before.map(({ node }) => node));
  let next = 0;
  const contested = changes.filter(({ key }) => {
    let leaf = third[next];
    while (leaf !== undefined && compareBytes(leaf.subtree.high, key) < 0) leaf = third[++next];
    // A shared leaf may begin at a later key in one of the trees.
    return leaf === undefined || !shared.has(leaf.node) || leaf.node.compareKey(0, key) > 0;
  });
  const first = new Cursor(leavesWith(before, contested), bounds);
  const others = new Cursor(
    third.filter(({ node }) => !shared.has(node)),
    bounds,
  );
  let passed = 0;
  const batch = changes.map((change): ChangeBeside => {
    const { key, before: was, after } = change;
    if (contested[passed] !== change) return { key, before: was, after, beside: was };
    passed++;
    const [old, now] = [first.seek(key), others.seek(key)];
    if (old ? now && first.sameValue(others) : !now) return { key, before: was, after, beside: was };
    const there = now ? others.opened : undefined;
    return { key, before: was, after, beside: there && entryAt(there.node, others.index) };
  });
  return { batch, contested };
}

/** The leaves that may hold one of these changes' keys. Leaves and changes are in key order. */
function leavesWith(leaves: readonly Opened[], changes: readonly Change[]): Opened[] {
  let next = 0;
  return leaves.filter(({ subtree }) => {
    const before = next;
    for (let change = changes[next]; change !== undefined; change = changes[++next])
      if (compareBytes(change.key, subtree.high) > 0) break;
    return next > before;
  });
}

/** The leaves without any of these changes that end within the bounds. */
function* unwanted(leaves: readonly Opened[], contested: readonly Change[], { to }: Bounds): Generator<Cid> {
  const wanted = new Set(leavesWith(leaves, contested));
  for (const leaf of leaves)
    if (!wanted.has(leaf) && (to === undefined || compareBytes(leaf.subtree.high, to) <= 0)) yield leaf.subtree.cid;
}

/** The children that only one of the first two trees has. */
function differingChildren([before = [], after = []]: Window["opened"], bounds: Bounds): [Subtree[], Subtree[]] {
  const children: [Subtree[], Subtree[]] = [[], []];
  join(before, after, bounds, (a, b) => {
    if (a?.opened !== undefined) children[0].push(childOf(a.opened, a.index));
    if (b?.opened !== undefined) children[1].push(childOf(b.opened, b.index));
  });
  return children;
}

/** The children that overlap one of these subtrees; all lists are in key order. */
function childrenWithin(opened: readonly Opened[], bounds: Bounds, lists: (readonly Subtree[])[]): Subtree[] {
  const found: Subtree[] = [];
  const next = lists.map(() => 0);
  for (const at = new Cursor(opened, bounds); at.opened !== undefined; at.advance()) {
    const { node } = at.opened;
    let isWithin = false;
    for (let index = 0; index < lists.length; index++) {
      const list = lists[index] ?? [];
      let subtree = list[next[index] ?? 0];
      if (subtree === undefined || (subtree.low !== undefined && node.compareKey(at.index, subtree.low) <= 0)) continue;
      isWithin = true;
      for (; subtree !== undefined && node.compareKey(at.index, subtree.high) >= 0; subtree = list[next[index] ?? 0])
        next[index] = (next[index] ?? 0) + 1;
    }
    if (isWithin) found.push(childOf(at.opened, at.index));
  }
  return found;
}

/** Calls `differ` for each key with differing entries, passing a cursor for each side that has it. */
export function join(
  before: readonly Opened[],
  after: readonly Opened[],
  bounds: Bounds,
  differ: (a: Cursor | undefined, b: Cursor | undefined) => void,
): void {
  const a = new Cursor(before, bounds);
  const b = new Cursor(after, bounds);
  while (a.opened !== undefined || b.opened !== undefined) {
    const order = a.compare(b);
    if (order !== 0 || !a.sameValue(b)) differ(order <= 0 ? a : undefined, order >= 0 ? b : undefined);
    else a.skipSame(b);
    if (order <= 0) a.advance();
    if (order >= 0) b.advance();
  }
}
