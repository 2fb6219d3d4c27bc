/**
 * Reads entries by key and by range. The `peek…` functions are synchronous and throw BlockMiss when nodes are not in
 * memory: load them into the NodeStore and call again.
 */
import { compareBytes } from "../base/bytes.ts";
import type { Cid } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { Node } from "../format/tree/node.ts";
import { type Entry, entryAt } from "./entry.ts";
import { MIN_NODES_KEPT, type NodeStore, peekNode } from "./node-store.ts";

/** The entry of a key, or undefined. Rejects as NodeStore.node. */
export async function get(nodes: NodeStore, root: Cid, key: Uint8Array): Promise<Entry | undefined> {
  let node = await nodes.node(root);
  while (node.level > 0) {
    const index = node.search(key);
    if (index === node.count) return undefined;
    node = await nodes.child(node, index);
  }
  return entryOf(node, key);
}

/** The last entry whose key is below `key`, or undefined. Rejects as NodeStore.node. */
export async function lastBefore(nodes: NodeStore, root: Cid, key: Uint8Array): Promise<Entry | undefined> {
  return lastInNode(nodes, await nodes.node(root), key);
}

async function lastInNode(nodes: NodeStore, node: Node, key: Uint8Array): Promise<Entry | undefined> {
  const index = node.search(key);
  if (node.level === 0) return index === 0 ? undefined : entryAt(node, index - 1);
  // The child for this key may begin with it or after it.
  for (let child = Math.min(index, node.count - 1); child >= Math.max(0, index - 1); child--) {
    const found = await lastInNode(nodes, await nodes.child(node, child), key);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The entry of a key, or undefined. Throws BlockMiss. */
export function peekGet(nodes: NodeStore, root: Cid, key: Uint8Array): Entry | undefined {
  let node = peekNode(nodes, root);
  while (node.level > 0) {
    const index = node.search(key);
    if (index === node.count) return undefined;
    const child = nodes.peekChild(node, index);
    if (child === undefined) throw new BlockMiss([node.childAt(index)]);
    node = child;
  }
  return entryOf(node, key);
}

/** The entries with from ≤ key < to, in order. Leaves are read ahead in growing batches. Rejects as NodeStore.node. */
export async function* range(
  nodes: NodeStore,
  root: Cid,
  bounds: { readonly from?: Uint8Array; readonly to?: Uint8Array } = {},
): AsyncGenerator<Entry> {
  const { from, to } = bounds;
  if (isEmptyRange(from, to)) return;
  for await (const leaf of leaves(nodes, await nodes.node(root), from, to, { batch: 2 })) {
    const end = to === undefined ? leaf.count : leaf.search(to);
    for (let index = from === undefined ? 0 : leaf.search(from); index < end; index++) yield entryAt(leaf, index);
  }
}

/**
 * The first `limit` entries with from ≤ key < to, in order. Throws BlockMiss with exactly the leaves that the rest needs,
 * as far as nodes in memory tell.
 */
export function peekRange(
  nodes: NodeStore,
  root: Cid,
  from: Uint8Array | undefined,
  to: Uint8Array | undefined,
  limit: number,
): Entry[] {
  const entries: Entry[] = [];
  if (!isEmptyRange(from, to)) collect(nodes, peekNode(nodes, root), from, to, limit, entries);
  return entries;
}

function entryOf(leaf: Node, key: Uint8Array): Entry | undefined {
  const index = leaf.search(key);
  return index < leaf.count && leaf.compareKey(index, key) === 0 ? entryAt(leaf, index) : undefined;
}

function collect(
  nodes: NodeStore,
  node: Node,
  from: Uint8Array | undefined,
  to: Uint8Array | undefined,
  limit: number,
  entries: Entry[],
): void {
  const first = from === undefined ? 0 : node.search(from);
  if (node.level === 0) {
    const end = Math.min(to === undefined ? node.count : node.search(to), first + limit - entries.length);
    for (let index = first; index < end; index++) entries.push(entryAt(node, index));
    return;
  }
  const last = lastChild(node, to);
  for (let index = first; index <= last && entries.length < limit; index++) {
    const child = nodes.peekChild(node, index);
    if (child === undefined) throw missFrom(nodes, node, index, last, limit - entries.length);
    collect(nodes, child, from, to, limit, entries);
  }
}

/** The children from `first` on that `wanted` more entries may need. Only the first is certain. */
function missFrom(nodes: NodeStore, node: Node, first: number, last: number, wanted: number): BlockMiss {
  const missing: Cid[] = [];
  // Any number of the first child's entries may lie before the range.
  let expected = 0;
  for (let index = first; index <= last && expected < wanted && missing.length < MAX_MISSES; index++) {
    const cid = node.childAt(index);
    if (nodes.peek(cid) === undefined) missing.push(cid);
    if (index > first) expected += node.childTotal(index);
  }
  return new BlockMiss(missing, 1);
}

/** The leaves of a range in order; read-ahead doubles along the way. */
async function* leaves(
  nodes: NodeStore,
  node: Node,
  from: Uint8Array | undefined,
  to: Uint8Array | undefined,
  ahead: { batch: number },
): AsyncGenerator<Node> {
  if (node.level === 0) {
    yield node;
    return;
  }
  const last = lastChild(node, to);
  for (let index = from === undefined ? 0 : node.search(from); index <= last;) {
    const end = Math.min(last + 1, index + (node.level === 1 ? ahead.batch : 1));
    for (const child of await nodes.children(node, index, end)) yield* leaves(nodes, child, from, to, ahead);
    index = end;
    ahead.batch = Math.min(2 * ahead.batch, nodes.batch);
  }
}

/** The last child with keys below `to`. */
function lastChild(node: Node, to: Uint8Array | undefined): number {
  return to === undefined ? node.count - 1 : Math.min(node.search(to), node.count - 1);
}

function isEmptyRange(from: Uint8Array | undefined, to: Uint8Array | undefined): boolean {
  return from !== undefined && to !== undefined && compareBytes(from, to) >= 0;
}

/** A miss must fit into a NodeStore of minimum capacity, with the path to it. */
const MAX_MISSES = MIN_NODES_KEPT / 2;
