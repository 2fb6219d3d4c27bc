/**
 * Looks up the same keys in successive versions of a tree. Each tree is descended once for all keys, one request per level;
 * a node found to hold none of them is never entered again, in any tree.
 */
import { compareBytes } from "../base/bytes.ts";
import type { Cid } from "../base/ids.ts";
import type { Node } from "../format/tree/node.ts";
import { checkChild } from "./child-check.ts";
import { type Entry, entryAt } from "./entry.ts";
import type { NodeStore } from "./node-store.ts";

/** A node to enter, and the keys that may be in it. */
interface Visit {
  readonly cid: Cid;
  readonly keys: Uint8Array[];
  /** Where it was met; undefined for a root. */
  readonly from: { readonly visit: Visit; readonly parent: Node; readonly index: number } | undefined;
  isBarren: boolean;
}

export class KeySearch {
  readonly #nodes: NodeStore;
  readonly #keys: readonly Uint8Array[];
  /** Nodes with none of the keys in or below them. */
  readonly #barren = new Set<Cid>();

  /** `keys` in any order. */
  constructor(nodes: NodeStore, keys: Iterable<Uint8Array>) {
    this.#nodes = nodes;
    this.#keys = [...keys].sort(compareBytes);
  }

  /** This tree's entries for those keys, in key order. Rejects as NodeStore.node. */
  async in(root: Cid): Promise<Entry[]> {
    const found: Entry[] = [];
    const visits: Visit[] = [];
    let level = this.#worthwhile([{ cid: root, keys: [...this.#keys], from: undefined, isBarren: true }]);
    while (level.length > 0) {
      visits.push(...level);
      const below: Visit[] = [];
      for await (const { visit, node } of this.#opened(level)) {
        if (node.level > 0) below.push(...this.#worthwhile(childrenWith(node, visit)));
        else found.push(...entriesIn(node, visit));
      }
      level = below;
    }
    for (const { cid, isBarren } of visits) if (isBarren) this.#barren.add(cid);
    return found;
  }

  #worthwhile(visits: readonly Visit[]): Visit[] {
    return visits.filter(({ cid, keys }) => keys.length > 0 && !this.#barren.has(cid));
  }

  async *#opened(visits: readonly Visit[]): AsyncGenerator<{ visit: Visit; node: Node }> {
    for (let at = 0; at < visits.length; at += this.#nodes.batch) {
      const batch = visits.slice(at, at + this.#nodes.batch);
      const opened = await this.#nodes.nodes(batch.map(({ cid }) => cid));
      for (const [index, visit] of batch.entries()) {
        const node = opened[index];
        if (node === undefined) continue;
        if (visit.from !== undefined) checkChild(visit.from.parent, visit.from.index, node);
        yield { visit, node };
      }
    }
  }
}

/** The children whose ranges contain some of the visit's keys, each with those keys. */
function childrenWith(parent: Node, visit: Visit): Visit[] {
  const children: Visit[] = [];
  let last = -1;
  for (const key of visit.keys) {
    const index = last >= 0 && parent.compareKey(last, key) >= 0 ? last : parent.search(key);
    if (index === parent.count) break;
    if (index === last) children.at(-1)?.keys.push(key);
    else children.push({ cid: parent.childAt(index), keys: [key], from: { visit, parent, index }, isBarren: true });
    last = index;
  }
  return children;
}

function entriesIn(leaf: Node, visit: Visit): Entry[] {
  const entries: Entry[] = [];
  for (const key of visit.keys) {
    const index = leaf.search(key);
    if (index < leaf.count && leaf.compareKey(index, key) === 0) entries.push(entryAt(leaf, index));
  }
  const isFruitful = entries.length > 0;
  for (let at: Visit | undefined = isFruitful ? visit : undefined; at?.isBarren === true; at = at.from?.visit)
    at.isBarren = false;
  return entries;
}
