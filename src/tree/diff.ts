/**
 * What differs between two trees. Both are descended together, a level of a window in one request; nodes that both trees
 * have are never read, so the cost follows the changes.
 */
import type { Cid } from "../base/ids.ts";
import { Cursor } from "./cursor.ts";
import type { Entry } from "./entry.ts";
import { entryAt } from "./entry.ts";
import type { NodeStore } from "./node-store.ts";
import type { Bounds, Front, Opened, Subtree } from "./subtree.ts";
import { childOf, frontOf, openAll, overlaps, windows } from "./subtree.ts";

export interface Change {
  readonly key: Uint8Array;
  /** Undefined: added. */
  readonly before: Entry | undefined;
  /** Undefined: deleted. */
  readonly after: Entry | undefined;
}

/** The changes that lead from tree `a` to tree `b`, in the order of their keys. Rejects as NodeStore.node. */
export async function* diff(nodes: NodeStore, a: Cid, b: Cid): AsyncGenerator<Change> {
  for await (const changes of diffBatches(nodes, a, b)) yield* changes;
}

/** As `diff`, in batches as they are found: for callers with many changes, since each awaited step costs. */
export async function* diffBatches(nodes: NodeStore, a: Cid, b: Cid): AsyncGenerator<Change[]> {
  if (a === b) return;
  const [first, second] = await nodes.nodes([a, b]);
  if (first === undefined || second === undefined) return;
  yield* descend(nodes, frontOf(a, first), frontOf(b, second), { from: undefined, to: undefined });
}

async function* descend(nodes: NodeStore, a: Front, b: Front, bounds: Bounds): AsyncGenerator<Change[]> {
  const level = Math.max(a.level, b.level);
  const sides = [a, b].map((front) => (front.level === level ? front.subtrees : []));
  for (const window of windows(sides, bounds, nodes.batch)) {
    const [before = [], after = []] = await openAll(nodes, window.fronts);
    if (level === 0) {
      const changes = compareLeaves(before, after, window.bounds);
      if (changes.length > 0) yield changes;
      continue;
    }
    const children = compareInner(before, after, window.bounds);
    // The lower tree waits at its root's level until the higher one has come down to it.
    const below = (front: Front, opened: readonly Subtree[]): Front =>
      front.level === level
        ? { level: level - 1, subtrees: opened }
        : { level: front.level, subtrees: front.subtrees.filter((subtree) => overlaps(subtree, window.bounds)) };
    yield* descend(nodes, below(a, children.before), below(b, children.after), window.bounds);
  }
}

function compareLeaves(before: readonly Opened[], after: readonly Opened[], bounds: Bounds): Change[] {
  const changes: Change[] = [];
  join(before, after, bounds, (a, b) => {
    const old = a?.opened && entryAt(a.opened.node, a.index);
    const now = b?.opened && entryAt(b.opened.node, b.index);
    const key = (old ?? now)?.key;
    if (key !== undefined) changes.push({ key, before: old, after: now });
  });
  return changes;
}

/** The children that only one side has. */
function compareInner(
  before: readonly Opened[],
  after: readonly Opened[],
  bounds: Bounds,
): { readonly before: Subtree[]; readonly after: Subtree[] } {
  const children = { before: [] as Subtree[], after: [] as Subtree[] };
  join(before, after, bounds, (a, b) => {
    if (a?.opened !== undefined) children.before.push(childOf(a.opened, a.index));
    if (b?.opened !== undefined) children.after.push(childOf(b.opened, b.index));
  });
  return children;
}

/** Calls `differ` for each key whose entries are not the same, with a cursor for each side that has it. */
function join(
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
