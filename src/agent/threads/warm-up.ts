/**
 * Reads a tree's nodes into the local cache, top down, so that names and attributes are available offline. Stops at a
 * budget; contents are read on demand.
 */
import type { Cid } from "../../base/ids.ts";
import { WARM_UP_NODES } from "../../base/limits.ts";
import type { NodeStore } from "../../tree/node-store.ts";

/** Reads nodes level by level. Answers how many; rejects as reading does, leaving nothing to undo. */
export async function warmUp(nodes: NodeStore, tree: Cid, signal: AbortSignal): Promise<number> {
  let level: Cid[] = [tree];
  let read = 0;
  while (level.length > 0 && read < WARM_UP_NODES) {
    const below: Cid[] = [];
    for (let at = 0; at < level.length && read < WARM_UP_NODES; at += nodes.batch) {
      signal.throwIfAborted();
      const opened = await nodes.nodes(level.slice(at, Math.min(at + nodes.batch, at + WARM_UP_NODES - read)));
      read += opened.length;
      for (const node of opened) {
        if (node.level === 0) continue;
        for (let index = 0; index < node.count; index++) below.push(node.childAt(index));
      }
    }
    level = below;
  }
  return read;
}
