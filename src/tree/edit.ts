/** Makes trees: from entries, or from another tree and edits, in one pass. Reads only what changes. */
import type { Cid } from "../base/ids.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import type { Node } from "../format/tree/node.ts";
import type { TreeConfig } from "./boundary.ts";
import { TreeBuilder } from "./builder.ts";
import { EditFeed } from "./edit-feed.ts";
import type { Edit, Entry } from "./entry.ts";
import type { NodeStore } from "./node-store.ts";

/** The tree of no entries: one empty leaf. */
export function emptyTree(nodes: NodeStore, sink: BlockSink, config: TreeConfig): Promise<Cid> {
  return buildTree(nodes, sink, config, []);
}

/** The tree of these entries, which must come in ascending order of their keys. Throws `limit_exceeded`. */
export async function buildTree(
  nodes: NodeStore,
  sink: BlockSink,
  config: TreeConfig,
  entries: Iterable<Entry> | AsyncIterable<Entry>,
): Promise<Cid> {
  const builder = new TreeBuilder(nodes, sink, config);
  const feed = new EditFeed(entries);
  try {
    while (feed.current !== undefined || (await feed.refill())) {
      const wait = addPut(builder, feed);
      if (wait !== undefined) await wait;
    }
  } finally {
    await feed.close();
  }
  return builder.finish();
}

/**
 * The tree that results from applying `edits`, in ascending order of their keys, to the tree `root`. It equals a build from
 * scratch. New nodes go to `sink`, children before parents; unchanged nodes do not. Holds one batch of edits and of nodes
 * in memory. Throws `limit_exceeded`, and the errors of reading nodes.
 */
export async function editTree(
  nodes: NodeStore,
  sink: BlockSink,
  config: TreeConfig,
  root: Cid,
  edits: Iterable<Edit> | AsyncIterable<Edit>,
): Promise<Cid> {
  const feed = new EditFeed(edits, (keys) => preload(nodes, root, keys), nodes.batch);
  try {
    if ((await feed.refill()) === undefined) return root;
    const builder = new TreeBuilder(nodes, sink, config);
    const node = await nodes.node(root);
    builder.replaces(node, root);
    await editNode({ nodes, builder, feed }, node, true);
    return await builder.finish();
  } finally {
    await feed.close();
  }
}

interface Pass {
  readonly nodes: NodeStore;
  readonly builder: TreeBuilder;
  readonly feed: EditFeed;
}

/** Adds the node's entries with the edits in its range; the last node of a level takes all remaining edits. */
async function editNode(pass: Pass, node: Node, last: boolean): Promise<void> {
  if (node.level === 0) return editLeaf(pass, node, last);
  const { nodes, builder, feed } = pass;
  for (let index = 0; index < node.count; index++) {
    const edit = feed.current ?? (await feed.refill());
    const found = edit === undefined ? node.count : node.search(edit.key);
    const target = found === node.count && last && edit !== undefined ? node.count - 1 : found;
    await builder.addFrom(node, index, target, last);
    if (target === node.count) return;
    const child = await nodes.child(node, target);
    builder.replaces(child, node.childAt(target));
    await editNode(pass, child, last && target === node.count - 1);
    index = target;
  }
}

async function editLeaf(pass: Pass, leaf: Node, last: boolean): Promise<void> {
  const { builder, feed } = pass;
  for (let index = 0; ;) {
    const edit = feed.current ?? (await feed.refill());
    const target = edit === undefined ? leaf.count : leaf.search(edit.key);
    await builder.addFrom(leaf, index, target, last);
    if (edit === undefined || (target === leaf.count && !last)) return;
    const present = target < leaf.count && leaf.compareKey(target, edit.key) === 0;
    index = present ? target + 1 : target;
    const wait = addPut(builder, feed);
    if (wait !== undefined) await wait;
  }
}

/** Takes the feed's current edit; a deletion adds nothing. */
function addPut(builder: TreeBuilder, feed: EditFeed): Promise<void> | undefined {
  const edit = feed.take();
  return edit.value === undefined ? undefined : builder.add({ key: edit.key, value: edit.value, links: edit.links });
}

/** Reads the paths to these ascending keys, one request per level; at most `nodes.batch` keys. */
export async function preload(nodes: NodeStore, root: Cid, keys: readonly Uint8Array[]): Promise<void> {
  let level: { readonly node: Node; readonly keys: readonly Uint8Array[] }[] = [{ node: await nodes.node(root), keys }];
  for (;;) {
    const below = level.flatMap(({ node, keys: inside }) => (node.level === 0 ? [] : childrenWith(node, inside)));
    if (below.length === 0) return;
    const opened = await nodes.nodes(below.map(({ cid }) => cid));
    level = below.flatMap(({ keys: inside }, index) => {
      const node = opened[index];
      return node === undefined ? [] : [{ node, keys: inside }];
    });
  }
}

function childrenWith(node: Node, keys: readonly Uint8Array[]): { cid: Cid; keys: Uint8Array[] }[] {
  const found: { cid: Cid; keys: Uint8Array[] }[] = [];
  let child = -1;
  for (const key of keys) {
    if (child >= 0 && (child === node.count - 1 || node.compareKey(child, key) >= 0)) {
      found.at(-1)?.keys.push(key);
      continue;
    }
    child = Math.min(node.search(key), node.count - 1);
    found.push({ cid: node.childAt(child), keys: [key] });
  }
  return found;
}
