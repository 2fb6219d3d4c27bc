/** Writes the nodes of one tree level, entry by entry, and determines where each ends. */
import type { Cid } from "../base/ids.ts";
import { type Node, trustNode } from "../format/tree/node.ts";
import { bytesBefore, entryBytes, NodeEncoder, runBytes } from "../format/tree/node-encoder.ts";
import type { Boundary } from "./boundary.ts";

export class LevelWriter {
  readonly level: number;
  /** Whether the last entry ended the node: call `take` before adding more. */
  complete = false;
  /** Nodes taken so far. */
  taken = 0;
  readonly #boundary: Boundary;
  readonly #encoder = spares.pop() ?? new NodeEncoder();

  constructor(level: number, boundary: Boundary) {
    this.level = level;
    this.#boundary = boundary;
  }

  /** Entries of the node being written. */
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

  /** Adds a node's entries [from, to), up to one that ends the new node; returns the index after it. */
  addFrom(node: Node, from: number, to: number): number {
    const safe = this.#isSettled(node, from) ? Math.max(from, Math.min(to, node.count - 1)) : from;
    this.#encoder.addFrom(node, from, safe);
    const end = this.#findEnd(node, safe, to);
    this.#encoder.addFrom(node, safe, end);
    return end;
  }

  /** Returns the finished node, and begins the next. */
  take(): Node {
    const bytes = this.#encoder.encode(this.level);
    this.#encoder.clear();
    this.complete = false;
    this.taken++;
    return trustNode(bytes);
  }

  /** Releases the writer's memory. Do not use it afterwards. */
  close(): void {
    this.#encoder.clear();
    if (spares.length < MAX_SPARES) spares.push(this.#encoder);
  }

  /**
   * Whether no entry from `index` on, except perhaps the last, would end a node here, because none ended `node`. The rule
   * depends on keys and sizes only, and its threshold grows with the bytes before an entry. With no more bytes before them
   * than in `node`, no key needs hashing.
   */
  #isSettled(node: Node, index: number): boolean {
    if (index >= node.count || this.#encoder.size > bytesBefore(node, index)) return false;
    const run = node.runOf(index);
    const begins = this.#encoder.beginsRun(node.bytes, node.headAt(run), node.isHeaded(run));
    return begins === (node.runStart(run) === index);
  }

  /** The index after the first of the entries [from, to) that would end the node, else `to`. Sets `complete`. */
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

/** Encoders with grown columns: a small edit would otherwise spend much of its time growing new ones. */
const spares: NodeEncoder[] = [];
const MAX_SPARES = 8;
