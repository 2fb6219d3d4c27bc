/** Writes the nodes of one level of a tree, entry by entry, and says where each ends. */
import type { Cid } from "../base/ids.ts";
import type { Node } from "../format/node.ts";
import { trustNode } from "../format/node.ts";
import { bytesBefore, NodeEncoder, runBytes } from "../format/node-encoder.ts";
import type { Boundary } from "./boundary.ts";

export class LevelWriter {
  readonly level: number;
  /** Whether the last entry ended the node: it must be taken before anything is added. */
  complete = false;
  /** Nodes taken so far. */
  taken = 0;
  readonly #boundary: Boundary;
  readonly #encoder = new NodeEncoder();

  constructor(level: number, boundary: Boundary) {
    this.level = level;
    this.#boundary = boundary;
  }

  /** Entries of the node that is being written. */
  get count(): number {
    return this.#encoder.count;
  }

  add(key: Uint8Array, value: Uint8Array, links: readonly Cid[]): void {
    const before = this.#encoder.size;
    this.#encoder.add(key, value, links);
    this.complete = this.#boundary.closes(key, before, this.#encoder.size, this.count);
  }

  addChild(key: Uint8Array, total: number, cid: Cid): void {
    const before = this.#encoder.size;
    this.#encoder.addChild(key, total, cid);
    this.complete = this.#boundary.closes(key, before, this.#encoder.size, this.count);
  }

  /** Adds entries of a node of this level from `from` to `to`, up to one that ends the node; returns the index behind it. */
  addFrom(node: Node, from: number, to: number): number {
    const safe = this.#mirrors(node, from) ? Math.max(from, Math.min(to, node.count - 1)) : from;
    this.#encoder.addFrom(node, from, safe);
    const end = this.#findEnd(node, safe, to);
    this.#encoder.addFrom(node, safe, end);
    return end;
  }

  /** The finished node; the next one begins. */
  take(): Node {
    const bytes = this.#encoder.encode(this.level);
    this.#encoder.clear();
    this.complete = false;
    this.taken++;
    return trustNode(bytes);
  }

  /**
   * Whether entries from `index` on would stand here as they stand in `node`. None of them but the last ended `node`, and
   * the rule sees sizes and keys only, so none will end this one: their keys need no hashing.
   */
  #mirrors(node: Node, index: number): boolean {
    if (index >= node.count || this.#encoder.size !== bytesBefore(node, index)) return false;
    const run = node.runOf(index);
    const begins = this.#encoder.beginsRun(node.bytes, node.headAt(run), node.isHeaded(run));
    return begins === (node.runStart(run) === index);
  }

  /** The index behind the first of the entries [from, to) that would end the node, else `to`. Sets `complete`. */
  #findEnd(node: Node, from: number, to: number): number {
    if (from >= to) return to;
    const run = node.runOf(from);
    const begins = this.#encoder.beginsRun(node.bytes, node.headAt(run), node.isHeaded(run));
    // Sizes behind the first entry follow from the node's own, once that entry's run is paid for as it is here.
    let before = this.#encoder.size;
    let correction = before - bytesBefore(node, from);
    if (begins !== (node.runStart(run) === from)) correction += (begins ? 1 : -1) * runBytes(node.isHeaded(run));
    for (let index = from; index < to; index++) {
      const after = bytesBefore(node, index + 1) + correction;
      if (this.#boundary.closes(node.keyAt(index), before, after, this.count + index - from + 1)) {
        this.complete = true;
        return index + 1;
      }
      before = after;
    }
    return to;
  }
}
