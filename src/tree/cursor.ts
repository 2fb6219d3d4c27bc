/** Walks entries of neighboring nodes within bounds, in place: nothing is copied until needed. */
import type { Node } from "../format/tree/node.ts";
import { areAlike, nextDifference, sameStretch } from "../format/tree/node-stretch.ts";
import type { Bounds, Opened } from "./subtree.ts";

const FIRST_STRETCH = 16;
const LEAST_STRETCH = 4;

export class Cursor {
  /** The node of the current entry; undefined past the last entry. */
  opened: Opened | undefined;
  /** The current entry. */
  index = 0;
  readonly #nodes: readonly Opened[];
  readonly #bounds: Bounds;
  #next = 0;
  #end = 0;
  #run = 0;
  #runEnd = 0;
  /** The other cursor's node last compared with this one's as a whole, and whether they are alike. */
  #compared: Node | undefined;
  #alike = false;

  constructor(nodes: readonly Opened[], bounds: Bounds) {
    this.#nodes = nodes;
    this.#bounds = bounds;
    this.#enter();
  }

  /** Steps to the next entry. */
  advance(): void {
    this.index++;
    if (this.index >= this.#end) {
      this.#enter();
    } else if (this.index >= this.#runEnd && this.opened !== undefined) {
      this.#run++;
      this.#runEnd = this.opened.node.runEnd(this.#run);
    }
  }

  /** Advances to the first entry not below `key`; returns whether its key is `key`. */
  seek(key: Uint8Array): boolean {
    for (; this.opened !== undefined; this.#enter()) {
      const { node } = this.opened;
      if (node.compareKey(this.#end - 1, key) < 0) continue;
      const found = Math.max(this.index, node.search(key));
      if (found >= this.#end) continue;
      if (found > this.index) this.#jump(found);
      return node.compareKey(found, key) === 0;
    }
    return false;
  }

  /** The current position; undefined past the last entry. */
  get position(): { readonly node: Node; readonly index: number } | undefined {
    return this.opened && { node: this.opened.node, index: this.index };
  }

  /** The current position if its key is `key`. */
  positionAt(key: Uint8Array): { readonly node: Node; readonly index: number } | undefined {
    return this.opened?.node.compareKey(this.index, key) === 0 ? this.position : undefined;
  }

  /**
   * Steps over the entries below `key` (undefined: all) within the current node, and returns them; undefined if there are
   * none.
   */
  take(key: Uint8Array | undefined): { readonly node: Node; readonly from: number; readonly to: number } | undefined {
    if (this.opened === undefined) return undefined;
    const [{ node }, from] = [this.opened, this.index];
    const to = key === undefined ? this.#end : Math.min(this.#end, Math.max(from, node.search(key)));
    if (from === to) return undefined;
    if (to === this.#end) this.#enter();
    else this.#jump(to);
    return { node, from, to };
  }

  /** Compares the current entries' keys; the end counts as above everything. */
  compare(other: Cursor): number {
    if (this.opened === undefined) return other.opened === undefined ? 0 : 1;
    if (other.opened === undefined) return -1;
    return this.opened.node.compareEntries(this.#run, this.index, other.opened.node, other.#run, other.index);
  }

  /** Whether both current entries have the same value and links. */
  sameValue(other: Cursor): boolean {
    if (this.opened === undefined || other.opened === undefined) return this.opened === other.opened;
    return this.opened.node.sameValue(this.index, other.opened.node, other.index);
  }

  /**
   * While both are at the same entry, moves both to the last of the equal entries that follow. Compares runs as bytes, and
   * nodes with the same keys as a whole, since most of two similar trees is equal.
   */
  skipSame(other: Cursor): void {
    if (this.opened === undefined || other.opened === undefined) return;
    const [{ node }, { node: others }] = [this.opened, other.opened];
    if (this.index === other.index && this.#isLike(node, others)) {
      const last = Math.min(nextDifference(node, others, this.index + 1), this.#end, other.#end) - 1;
      this.#jump(last);
      other.#jump(last);
      return;
    }
    for (let stretch = FIRST_STRETCH; stretch >= LEAST_STRETCH;) {
      const count = Math.min(stretch, this.#following, other.#following);
      if (count < LEAST_STRETCH) return;
      if (sameStretch(node, this.index + 1, others, other.index + 1, count)) {
        this.index += count;
        other.index += count;
        stretch = 2 * count;
      } else stretch = count >>> 1;
    }
  }

  #isLike(node: Node, other: Node): boolean {
    if (this.#compared !== other) {
      this.#compared = other;
      this.#alike = areAlike(node, other);
    }
    return this.#alike;
  }

  /** Moves to a later entry of the same node. */
  #jump(index: number): void {
    this.index = index;
    while (index >= this.#runEnd && this.opened !== undefined) this.#runEnd = this.opened.node.runEnd(++this.#run);
  }

  /** Entries after the current one with the same head. */
  get #following(): number {
    return Math.min(this.#runEnd, this.#end) - this.index - 1;
  }

  /** Enters the next node with entries within the bounds. */
  #enter(): void {
    const { from, to } = this.#bounds;
    this.#compared = undefined;
    for (;;) {
      this.opened = this.#nodes[this.#next++];
      if (this.opened === undefined) return;
      const { node } = this.opened;
      this.index = from === undefined ? 0 : behind(node, from);
      this.#end = to === undefined ? node.count : behind(node, to);
      // In an inner node, the child that contains `to` counts too.
      if (node.level > 0 && to !== undefined && this.#end < node.count) {
        if (this.#end === 0 || node.compareKey(this.#end - 1, to) < 0) this.#end++;
      }
      if (this.index < this.#end) break;
    }
    this.#run = this.opened.node.runOf(this.index);
    this.#runEnd = this.opened.node.runEnd(this.#run);
  }
}

/** The first entry above `key`. Checks the node's ends first: most nodes lie entirely on one side. */
function behind(node: Node, key: Uint8Array): number {
  if (node.count === 0 || node.compareKey(0, key) > 0) return 0;
  if (node.compareKey(node.count - 1, key) <= 0) return node.count;
  const index = node.search(key);
  return index < node.count && node.compareKey(index, key) === 0 ? index + 1 : index;
}
