/** Walks the entries of neighbouring nodes within bounds, in place: nothing is copied until it is wanted. */
import type { Node } from "../format/node.ts";
import type { Bounds, Opened } from "./subtree.ts";

const FIRST_STRETCH = 16;
const LEAST_STRETCH = 4;

export class Cursor {
  /** What the current entry stands in; undefined behind the last entry. */
  opened: Opened | undefined;
  /** The current entry. */
  index = 0;
  readonly #nodes: readonly Opened[];
  readonly #bounds: Bounds;
  #next = 0;
  #end = 0;
  #run = 0;
  #runEnd = 0;

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

  /** Order of the current entries' keys; behind the last entry is above everything. */
  compare(other: Cursor): number {
    if (this.opened === undefined) return other.opened === undefined ? 0 : 1;
    if (other.opened === undefined) return -1;
    return this.opened.node.compareEntries(this.#run, this.index, other.opened.node, other.#run, other.index);
  }

  /** Whether both stand at entries with the same value and links. */
  sameValue(other: Cursor): boolean {
    if (this.opened === undefined || other.opened === undefined) return this.opened === other.opened;
    return this.opened.node.sameValue(this.index, other.opened.node, other.index);
  }

  /**
   * While both stand at the same entry: steps both to the last of those that follow side by side and are the same. Stretches are
   * compared as bytes, which is many times as fast as entry by entry; most of two trees that differ little is the same.
   */
  skipSame(other: Cursor): void {
    if (this.opened === undefined || other.opened === undefined) return;
    const [{ node }, { node: others }] = [this.opened, other.opened];
    for (let stretch = FIRST_STRETCH; stretch >= LEAST_STRETCH;) {
      const count = Math.min(stretch, this.#following, other.#following);
      if (count < LEAST_STRETCH) return;
      if (node.sameStretch(this.index + 1, others, other.index + 1, count)) {
        this.index += count;
        other.index += count;
        stretch = 2 * count;
      } else stretch = count >>> 1;
    }
  }

  /** Entries behind the current one with the same head. */
  get #following(): number {
    return Math.min(this.#runEnd, this.#end) - this.index - 1;
  }

  /** Steps into the next node that has entries within the bounds. */
  #enter(): void {
    const { from, to } = this.#bounds;
    for (;;) {
      this.opened = this.#nodes[this.#next++];
      if (this.opened === undefined) return;
      const { node } = this.opened;
      this.index = from === undefined ? 0 : behind(node, from);
      this.#end = to === undefined ? node.count : behind(node, to);
      // Of an inner node, the child that `to` lies in counts too.
      if (node.level > 0 && to !== undefined && this.#end < node.count) {
        if (this.#end === 0 || node.compareKey(this.#end - 1, to) < 0) this.#end++;
      }
      if (this.index < this.#end) break;
    }
    this.#run = this.opened.node.runOf(this.index);
    this.#runEnd = this.opened.node.runEnd(this.#run);
  }
}

/** The first entry above `key`. */
function behind(node: Node, key: Uint8Array): number {
  const index = node.search(key);
  return index < node.count && node.compareKey(index, key) === 0 ? index + 1 : index;
}
