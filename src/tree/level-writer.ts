/** Writes the nodes of one level of a tree, entry by entry, and says where each ends. */
import type { Cid } from "../base/ids.ts";
import type { Node } from "../format/tree/node.ts";
import { trustNode } from "../format/tree/node.ts";
import { bytesBefore, entryBytes, NodeEncoder, runBytes } from "../format/tree/node-encoder.ts";
import type { Boundary } from "./boundary.ts";

export class LevelWriter {
  readonly level: number;
  /** Whether the last entry ended the node: it must be taken before anything is added. */
  complete = false;
  /** Nodes taken so far. */
  taken = 0;
  readonly #boundary: Boundary;
  readonly #encoder = spares.pop() ?? new NodeEncoder();

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
    const safe = this.#isSettled(node, from) ? Math.max(from, Math.min(to, node.count - 1)) : from;
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

  /** Gives the writer's memory back. It must not be used after this. */
  close(): void {
    this.#encoder.clear();
    if (spares.length < MAX_SPARES) spares.push(this.#encoder);
  }

  /**
   * Whether no entry from `index` on, but perhaps the last one, would end a node here, since none ended `node`. The rule
   * sees keys and sizes only, and for the same entry its threshold grows with the bytes before it: where there are no more
   * of them than in `node`, no key needs hashing.
   */
  #isSettled(node: Node, index: number): boolean {
    if (index >= node.count || this.#encoder.size > bytesBefore(node, index)) return false;
    const run = node.runOf(index);
    const begins = this.#encoder.beginsRun(node.bytes, node.headAt(run), node.isHeaded(run));
    return begins === (node.runStart(run) === index);
  }

  /** The index behind the first of the entries [from, to) that would end the node, else `to`. Sets `complete`. */
  #findEnd(node: Node, from: number, to: number): number {
    if (from >= to) return to;
    let run = node.runOf(from);
    let runEnd = node.runEnd(run);
    const begins = this.#encoder.beginsRun(node.bytes, node.headAt(run), node.isHeaded(run));
    let before = this.#encoder.size;
    for (let index = from; index < to; index++) {
      let after = before + entryBytes(node, index);
      if (index === from ? begins : index === runEnd) {
        if (index === runEnd) runEnd = node.runEnd(++run);
        after += runBytes(node.isHeaded(run));
      }
      const count = this.count + index - from + 1;
      if (this.#boundary.mayClose(after, count) && this.#boundary.closes(node.keyAt(index), before, after, count)) {
        this.complete = true;
        return index + 1;
      }
      before = after;
    }
    return to;
  }
}

/** Encoders with grown columns, since a small edit would spend much of its time on growing new ones. */
const spares: NodeEncoder[] = [];
const MAX_SPARES = 8;
