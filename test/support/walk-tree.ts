/** Visits every node of a tree, and checks each against its parent and the boundary rule. */
import { SynclineError } from "../../src/base/errors.ts";
import type { Cid } from "../../src/base/ids.ts";
import type { Node } from "../../src/format/tree/node.ts";
import { bytesBefore } from "../../src/format/tree/node-encoder.ts";
import type { Boundary, TreeConfig } from "../../src/tree/boundary.ts";
import type { NodeStore } from "../../src/tree/node-store.ts";
import { type Bounds, childOf, frontOf, type Opened, type Subtree } from "../../src/tree/subtree.ts";

type WalkStep =
  | { readonly kind: "node"; readonly cid: Cid; readonly node: Node }
  | {
      /** The node was read, but does not end by the rule; the walk continues below it. */
      readonly kind: "misshapen";
      readonly cid: Cid;
      readonly error: SynclineError;
    }
  | {
      /** The node is unreadable or does not match its parent; nothing below it is visited. */
      readonly kind: "damage";
      readonly cid: Cid;
      /** The keys that it hides. */
      readonly bounds: Bounds;
      readonly error: unknown;
    };

/** All nodes of the tree, parents before children, in key order. Never rejects for unreadable nodes. */
export async function* walkTree(nodes: NodeStore, config: TreeConfig, root: Cid): AsyncGenerator<WalkStep> {
  let node: Node;
  try {
    node = await nodes.node(root);
  } catch (error) {
    yield { kind: "damage", cid: root, bounds: { from: undefined, to: undefined }, error };
    return;
  }
  if (node.level > 0 && node.count === 1) {
    yield { kind: "misshapen", cid: root, error: misshapen("has a root with one child") };
  }
  const [subtree] = frontOf(root, node).subtrees;
  if (subtree === undefined) yield { kind: "node", cid: root, node };
  else yield* walkNode(nodes, config, { subtree, node });
}

/** What is wrong with the node's end, if anything: it must end where the rule first ends it. */
function boundaryFault(node: Node, boundary: Boundary, last: boolean): SynclineError | undefined {
  let before = 0;
  for (let index = 0; index < node.count; index++) {
    const after = bytesBefore(node, index + 1);
    const closes = boundary.closes(node.keyAt(index), before, after, index + 1);
    if (closes && index < node.count - 1) return misshapen("does not end a node at a boundary");
    if (!closes && index === node.count - 1 && !last) return misshapen("ends a node where there is no boundary");
    before = after;
  }
  return undefined;
}

async function* walkNode(nodes: NodeStore, config: TreeConfig, opened: Opened): AsyncGenerator<WalkStep> {
  const { subtree, node } = opened;
  yield { kind: "node", cid: subtree.cid, node };
  const error = boundaryFault(node, await config.boundary(node.level), subtree.last);
  if (error !== undefined) yield { kind: "misshapen", cid: subtree.cid, error };
  if (node.level === 0) return;
  for (let index = 0; index < node.count; index += nodes.batch) {
    const length = Math.min(nodes.batch, node.count - index);
    const children = Array.from({ length }, (_, at) => childOf(opened, index + at));
    for (const child of await openEach(nodes, children)) {
      if ("error" in child) yield damageOf(child.subtree, child.error);
      else yield* walkNode(nodes, config, child);
    }
  }
}

/** Opens these in one request; if that fails, one by one, so that one damaged block hides no others. */
async function openEach(
  nodes: NodeStore,
  subtrees: readonly Subtree[],
): Promise<(Opened | { readonly subtree: Subtree; readonly error: unknown })[]> {
  try {
    return await nodes.subtrees(subtrees);
  } catch {
    const single = async (subtree: Subtree) =>
      nodes.subtrees([subtree]).catch((error: unknown) => [{ subtree, error }]);
    const results = [];
    for (const subtree of subtrees) results.push(...(await single(subtree)));
    return results;
  }
}

function damageOf(subtree: Subtree, error: unknown): WalkStep {
  return { kind: "damage", cid: subtree.cid, bounds: { from: subtree.low, to: subtree.high }, error };
}

function misshapen(what: string): SynclineError {
  return new SynclineError("format_invalid", `A tree ${what}, which no edit produces.`);
}
