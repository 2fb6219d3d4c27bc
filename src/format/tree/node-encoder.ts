/** Collects one tree node's entries column by column and encodes it. Reused for further nodes. */
import type { Cid } from "../../base/ids.ts";
import { compareRanges } from "../../base/bytes.ts";
import { cidToBytes } from "../blocks/cid.ts";
import type { Node } from "./node.ts";
import {
  ARRAY,
  BYTES,
  CHILD_VALUE_BYTES,
  HEAD_BYTES,
  headLength,
  LINK_BYTES,
  LINK_PREFIX,
  NODE_FIELDS,
  NODE_VERSION,
  UNSIGNED,
  writeHead,
} from "./node-layout.ts";

/** An entry's column bytes besides its own: two offsets and a link count. */
const ENTRY_OVERHEAD_BYTES = 9;
/** A run's column bytes besides its head. */
const RUN_OVERHEAD_BYTES = 4;

/**
 * Encoded bytes of the entries before `index` in `node`. An entry's encoded bytes are what it adds to the node's columns,
 * without CBOR framing: its tail, value and links, two offsets and a link count; the first entry of a run also counts the
 * run's head and its offset. They sum up to the length of all columns.
 */
export function bytesBefore(node: Node, index: number): number {
  if (index === 0) return 0;
  const run = node.runOf(index - 1);
  return (
    (node.isHeaded(run) ? HEAD_BYTES : 0) +
    (node.headAt(run) - node.layout.heads) +
    RUN_OVERHEAD_BYTES * (run + 1) +
    ENTRY_OVERHEAD_BYTES * index +
    node.tailStart(index) +
    node.valueStart(index) +
    LINK_BYTES * node.linkStart(index)
  );
}

/** Encoded bytes of entry `index` of `node`, without those of its run. */
export function entryBytes(node: Node, index: number): number {
  const tail = node.tailEnd(index) - node.tailStart(index);
  const value = node.valueEnd(index) - node.valueStart(index);
  return ENTRY_OVERHEAD_BYTES + tail + value + LINK_BYTES * node.linkCount(index);
}

/** The extra encoded bytes of a run's first entry. */
export function runBytes(headed: boolean): number {
  return RUN_OVERHEAD_BYTES + (headed ? HEAD_BYTES : 0);
}

export class NodeEncoder {
  /** Entries so far. */
  count = 0;
  /** Encoded bytes so far: the length of all columns (see bytesBefore). */
  size = 0;
  readonly #heads = new Column();
  readonly #headEnds = new Column();
  readonly #tails = new Column();
  readonly #tailEnds = new Column();
  readonly #values = new Column();
  readonly #valueEnds = new Column();
  readonly #linkCounts = new Column();
  readonly #links = new Column();
  /** In the order of the node's fields, without the links, which are not a byte string. */
  readonly #columns: readonly Column[] = [
    this.#heads,
    this.#headEnds,
    this.#tails,
    this.#tailEnds,
    this.#values,
    this.#valueEnds,
    this.#linkCounts,
  ];
  #lastHeaded = false;

  /** Appends an entry; its key must be above the others. */
  add(key: Uint8Array, value: Uint8Array, links: readonly Cid[]): void {
    const headed = key.length >= HEAD_BYTES;
    this.#enterRun(key, 0, headed);
    this.#tails.append(key, headed ? HEAD_BYTES : 0, key.length);
    this.#values.append(value, 0, value.length);
    this.#tailEnds.appendU32(this.#tails.length);
    this.#valueEnds.appendU32(this.#values.length);
    this.#linkCounts.appendByte(links.length);
    for (const link of links) this.#appendLink(link);
    this.#measure();
  }

  /** Appends an entry of an inner node. */
  addChild(key: Uint8Array, total: number, cid: Cid): void {
    const value = new Uint8Array(CHILD_VALUE_BYTES);
    const view = new DataView(value.buffer);
    view.setUint32(0, total % 2 ** 32, true);
    view.setUint32(4, Math.floor(total / 2 ** 32), true);
    this.add(key, value, [cid]);
  }

  /** Whether an entry from a run with this head would begin a run here. */
  beginsRun(source: Uint8Array, headAt: number, headed: boolean): boolean {
    if (this.count === 0 || headed !== this.#lastHeaded) return true;
    if (!headed) return false;
    const { bytes, length } = this.#heads;
    return compareRanges(bytes, length - HEAD_BYTES, length, source, headAt, headAt + HEAD_BYTES) !== 0;
  }

  /** Adds the entries [from, to) of a node. */
  addFrom(node: Node, from: number, to: number): void {
    if (from >= to) return;
    const { bytes, layout } = node;
    for (let run = node.runOf(from); run < layout.runs && node.runStart(run) < to; run++) {
      const length = Math.min(to, node.runEnd(run)) - Math.max(from, node.runStart(run));
      this.#enterRun(bytes, node.headAt(run), node.isHeaded(run), length);
    }
    const tails = this.#tails.length - node.tailStart(from);
    const values = this.#values.length - node.valueStart(from);
    for (let index = from; index < to; index++) {
      this.#tailEnds.appendU32(tails + node.tailEnd(index));
      this.#valueEnds.appendU32(values + node.valueEnd(index));
    }
    this.#tails.append(bytes, layout.tails + node.tailStart(from), layout.tails + node.tailEnd(to - 1));
    this.#values.append(bytes, layout.values + node.valueStart(from), layout.values + node.valueEnd(to - 1));
    this.#linkCounts.append(bytes, layout.linkCounts + from, layout.linkCounts + to);
    const links = layout.links + LINK_BYTES * node.linkStart(from);
    this.#links.append(bytes, links, layout.links + LINK_BYTES * node.linkStart(to));
    this.#measure();
  }

  /** The node's block. */
  encode(level: number): Uint8Array {
    const columns = this.#columns;
    const linkTotal = this.#links.length / LINK_BYTES;
    let length = 2 + headLength(level) + headLength(this.count) + headLength(linkTotal) + this.size;
    for (const column of columns) length += headLength(column.length);
    const bytes = new Uint8Array(length);
    let at = writeHead(bytes, 0, ARRAY, NODE_FIELDS);
    at = writeHead(bytes, at, UNSIGNED, NODE_VERSION);
    at = writeHead(bytes, at, UNSIGNED, level);
    at = writeHead(bytes, at, UNSIGNED, this.count);
    for (const column of columns) {
      at = writeHead(bytes, at, BYTES, column.length);
      bytes.set(column.filled(), at);
      at += column.length;
    }
    at = writeHead(bytes, at, ARRAY, linkTotal);
    bytes.set(this.#links.filled(), at);
    return bytes;
  }

  clear(): void {
    this.count = 0;
    this.size = 0;
    this.#links.length = 0;
    for (const column of this.#columns) column.length = 0;
  }

  /** Counts `entries` into the run with this head: the last run, or a new one. */
  #enterRun(source: Uint8Array, headAt: number, headed: boolean, entries = 1): void {
    if (this.beginsRun(source, headAt, headed)) {
      if (headed) this.#heads.append(source, headAt, headAt + HEAD_BYTES);
      this.#headEnds.appendU32(0);
      this.#lastHeaded = headed;
    }
    this.count += entries;
    this.#headEnds.setLastU32(this.count * 2 + (headed ? 1 : 0));
  }

  #measure(): void {
    const own = this.#heads.length + this.#headEnds.length + this.#tails.length + this.#values.length;
    this.size = own + this.count * ENTRY_OVERHEAD_BYTES + this.#links.length;
  }

  #appendLink(cid: Cid): void {
    this.#links.append(LINK_PREFIX, 0, LINK_PREFIX.length);
    const bytes = cidToBytes(cid);
    this.#links.append(bytes, 0, bytes.length);
  }
}

/** A growing byte array. */
class Column {
  bytes = new Uint8Array(1024);
  length = 0;
  #view = new DataView(this.bytes.buffer);

  append(source: Uint8Array, from: number, to: number): void {
    const length = to - from;
    this.#reserve(length);
    if (length > COPY_BY_LOOP_BYTES) this.bytes.set(source.subarray(from, to), this.length);
    else for (let at = 0; at < length; at++) this.bytes[this.length + at] = source[from + at] ?? 0;
    this.length += length;
  }

  appendByte(value: number): void {
    this.#reserve(1);
    this.bytes[this.length++] = value;
  }

  appendU32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  setLastU32(value: number): void {
    this.#view.setUint32(this.length - 4, value, true);
  }

  filled(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  #reserve(length: number): void {
    if (this.length + length <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, this.length + length));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Up to this length a loop beats a view and a native copy. */
const COPY_BY_LOOP_BYTES = 64;
