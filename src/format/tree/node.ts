/**
 * A tree node, read in place: opening copies nothing, and entries are found by arithmetic on the columns.
 *
 * `decodeNode` (node-decoder.ts) is strict: what it accepts encodes to the same bytes again (node-encoder.ts). The tree's
 * node store checks what only the parent knows: the key range, the level and the number of entries below.
 */
import { compareRanges } from "../../base/bytes.ts";
import type { Cid } from "../../base/ids.ts";
import { cidAt } from "../blocks/cid.ts";
import { HEAD_BYTES, LINK_BYTES, LINK_PREFIX, locateColumns, type NodeLayout } from "./node-layout.ts";

/** Opens a node that this process encoded itself. */
export function trustNode(bytes: Uint8Array): Node {
  return new Node(bytes);
}

export class Node {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly layout: NodeLayout;
  /** 0 for a leaf. */
  readonly level: number;
  /** Entries in this node. */
  readonly count: number;
  readonly #children: (Cid | undefined)[] = [];
  #headsBefore: Uint32Array | undefined;
  /** The last count of links: up to an entry, and the number before it. */
  #countedTo = 0;
  #counted = 0;
  #proven: Uint8Array | undefined;
  #total = -1;

  /** `layout`: the columns' positions, if known. Throws `format_invalid` if they do not fill the bytes. */
  constructor(bytes: Uint8Array, layout?: NodeLayout) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.layout = layout ?? locateColumns(bytes, this.view);
    this.level = this.layout.level;
    this.count = this.layout.count;
  }

  /** Leaf entries in and below this node. */
  get total(): number {
    if (this.#total < 0) {
      let total = this.level === 0 ? this.count : 0;
      if (this.level > 0) for (let index = 0; index < this.count; index++) total += this.childTotal(index);
      this.#total = total;
    }
    return this.#total;
  }

  /** A copy of the key. */
  keyAt(index: number): Uint8Array {
    const { bytes } = this;
    const run = this.runOf(index);
    const from = this.tailStart(index);
    const headBytes = this.isHeaded(run) ? HEAD_BYTES : 0;
    const key = new Uint8Array(headBytes + this.tailEnd(index) - from);
    const head = this.headAt(run);
    for (let at = 0; at < headBytes; at++) key[at] = bytes[head + at] ?? 0;
    const tail = this.layout.tails + from - headBytes;
    for (let at = headBytes; at < key.length; at++) key[at] = bytes[tail + at] ?? 0;
    return key;
  }

  /** A view of the value. */
  valueAt(index: number): Uint8Array {
    const { values } = this.layout;
    return this.bytes.subarray(values + this.valueStart(index), values + this.valueEnd(index));
  }

  linksAt(index: number): readonly Cid[] {
    const count = this.linkCount(index);
    if (count === 0) return NO_LINKS;
    const first = this.linkStart(index);
    const links: Cid[] = [];
    for (let link = first; link < first + count; link++) links.push(this.#linkAt(link));
    return links;
  }

  /** The block below entry `index` of an inner node. */
  childAt(index: number): Cid {
    return (this.#children[index] ??= this.#linkAt(index));
  }

  /** Leaf entries below entry `index` of an inner node. */
  childTotal(index: number): number {
    const at = this.layout.values + this.valueStart(index);
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32;
  }

  /** Whether the child `index` was verified here before: its CID is fixed, so once is enough. */
  isProven(index: number): boolean {
    return this.#proven?.[index] === 1;
  }

  prove(index: number): void {
    this.#proven ??= new Uint8Array(this.count);
    this.#proven[index] = 1;
  }

  /** The first entry whose key is at least `key`: 0 to `count`. */
  search(key: Uint8Array): number {
    let low = 0;
    let high = this.layout.runs;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compareInRun(middle, this.runEnd(middle) - 1, key) < 0) low = middle + 1;
      else high = middle;
    }
    if (low === this.layout.runs) return this.count;
    const headed = this.isHeaded(low);
    const head = this.headAt(low);
    const prefix = Math.min(HEAD_BYTES, key.length);
    // The run's last key is at least `key`: a different head is above it, and so are all keys of the run.
    if (headed && compareRanges(this.bytes, head, head + HEAD_BYTES, key, 0, prefix) !== 0) return this.runStart(low);
    return this.#searchTails(this.runStart(low), this.runEnd(low), key, headed ? HEAD_BYTES : 0);
  }

  /** Compares the key of entry `index` with `key`. */
  compareKey(index: number, key: Uint8Array): number {
    return this.#compareInRun(this.runOf(index), index, key);
  }

  /** Compares the keys of entry `index` in run `run` and of an entry of another node. */
  compareEntries(run: number, index: number, other: Node, otherRun: number, otherIndex: number): number {
    const headed = this.isHeaded(run);
    const otherHeaded = other.isHeaded(otherRun);
    const from = this.layout.tails + this.tailStart(index);
    const to = this.layout.tails + this.tailEnd(index);
    const otherFrom = other.layout.tails + other.tailStart(otherIndex);
    const otherTo = other.layout.tails + other.tailEnd(otherIndex);
    if (headed || otherHeaded) {
      const head = this.headAt(run);
      const otherHead = other.headAt(otherRun);
      // A short key has no head and fewer bytes than one, so the two are never equal.
      if (!headed) return compareRanges(this.bytes, from, to, other.bytes, otherHead, otherHead + HEAD_BYTES);
      if (!otherHeaded) return compareRanges(this.bytes, head, head + HEAD_BYTES, other.bytes, otherFrom, otherTo);
      const order = compareRanges(this.bytes, head, head + HEAD_BYTES, other.bytes, otherHead, otherHead + HEAD_BYTES);
      if (order !== 0) return order;
    }
    return compareRanges(this.bytes, from, to, other.bytes, otherFrom, otherTo);
  }

  /** Whether both entries have the same value and links. */
  sameValue(index: number, other: Node, at: number): boolean {
    if (this.linkCount(index) !== other.linkCount(at)) return false;
    const [a, b] = [this.layout.values, other.layout.values];
    if (
      compareRanges(
        this.bytes,
        a + this.valueStart(index),
        a + this.valueEnd(index),
        other.bytes,
        b + other.valueStart(at),
        b + other.valueEnd(at),
      ) !== 0
    )
      return false;
    const links = this.linkCount(index) * LINK_BYTES;
    if (links === 0) return true;
    const from = this.layout.links + this.linkStart(index) * LINK_BYTES;
    const otherFrom = other.layout.links + other.linkStart(at) * LINK_BYTES;
    return compareRanges(this.bytes, from, from + links, other.bytes, otherFrom, otherFrom + links) === 0;
  }

  /** The run that entry `index` belongs to. */
  runOf(index: number): number {
    let low = 0;
    let high = this.layout.runs - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.runEnd(middle) <= index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  runStart(run: number): number {
    return run === 0 ? 0 : this.runEnd(run - 1);
  }

  /** Index behind the run's last entry. */
  runEnd(run: number): number {
    return this.view.getUint32(this.layout.headEnds + 4 * run, true) >>> 1;
  }

  isHeaded(run: number): boolean {
    return (this.view.getUint8(this.layout.headEnds + 4 * run) & 1) === 1;
  }

  /** Offset of a headed run's head; for another run, that of the next head. */
  headAt(run: number): number {
    const { heads, headBytes, runs } = this.layout;
    if (headBytes === runs * HEAD_BYTES) return heads + run * HEAD_BYTES;
    if (headBytes === 0) return heads;
    return heads + HEAD_BYTES * ((this.#headsBefore ??= this.#countHeads())[run] ?? 0);
  }

  /** Start of entry `index`'s tail in the column; past the last entry, the column's length. */
  tailStart(index: number): number {
    return index === 0 ? 0 : this.tailEnd(index - 1);
  }

  tailEnd(index: number): number {
    return this.view.getUint32(this.layout.tailEnds + 4 * index, true);
  }

  valueStart(index: number): number {
    return index === 0 ? 0 : this.valueEnd(index - 1);
  }

  valueEnd(index: number): number {
    return this.view.getUint32(this.layout.valueEnds + 4 * index, true);
  }

  linkCount(index: number): number {
    return this.view.getUint8(this.layout.linkCounts + index);
  }

  /** The number of links before entry `index`. Resumes from the last count: callers move along the entries. */
  linkStart(index: number): number {
    if (this.level > 0) return index;
    const { linkTotal, linkCounts } = this.layout;
    if (linkTotal === 0) return 0;
    if (index === this.count) return linkTotal;
    let at = this.#countedTo;
    let links = this.#counted;
    if (index < at >>> 1) at = links = 0;
    while (at < index) links += this.bytes[linkCounts + at++] ?? 0;
    while (at > index) links -= this.bytes[linkCounts + --at] ?? 0;
    this.#countedTo = at;
    return (this.#counted = links);
  }

  #countHeads(): Uint32Array {
    const before = new Uint32Array(this.layout.runs + 1);
    for (let run = 0; run < this.layout.runs; run++)
      before[run + 1] = (before[run] ?? 0) + (this.isHeaded(run) ? 1 : 0);
    return before;
  }

  #linkAt(link: number): Cid {
    const at = this.layout.links + link * LINK_BYTES;
    return cidAt(this.bytes, at + LINK_PREFIX.length);
  }

  #compareInRun(run: number, index: number, key: Uint8Array): number {
    const { tails } = this.layout;
    let skip = 0;
    if (this.isHeaded(run)) {
      const head = this.headAt(run);
      skip = Math.min(HEAD_BYTES, key.length);
      const order = compareRanges(this.bytes, head, head + HEAD_BYTES, key, 0, skip);
      if (order !== 0) return order;
    }
    return compareRanges(this.bytes, tails + this.tailStart(index), tails + this.tailEnd(index), key, skip, key.length);
  }

  /** The first of the entries [low, high) whose tail is not below the bytes of `key` from `skip` on. */
  #searchTails(low: number, high: number, key: Uint8Array, skip: number): number {
    const { tails } = this.layout;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const from = tails + this.tailStart(middle);
      const order = compareRanges(this.bytes, from, tails + this.tailEnd(middle), key, skip, key.length);
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const NO_LINKS: readonly Cid[] = [];
