/**
 * Where the columns of a tree node lie in its bytes: the dag-cbor array
 *
 *     [version 1, level, count, heads, headEnds, tails, tailEnds, values, valueEnds, linkCounts, links]
 *
 * - A key of 16 bytes or more is a head (its first 16 bytes) and a tail; a shorter key is all tail. Entries that lie side
 *   by side and share a head, or have none, are a run.
 * - `heads`: the heads of the runs that have one. `headEnds`, a u32 a run: 2 × (index behind its last entry) + (1 if headed).
 * - `tails`, `values`: the entries' bytes one after another; `tailEnds`, `valueEnds`: a u32 an entry, where its bytes end.
 * - `linkCounts`: a byte an entry, how many of `links` are its own; `links`: tag-42 CIDs of all entries in order.
 * - An inner node's entry is a child: its last key, the number of leaf entries below it as u64, one link to it.
 *
 * All integers in columns are little-endian. Every number and length has its shortest CBOR form.
 */
import { SynclineError } from "../../base/errors.ts";
import { MAX_NODE_BYTES, MAX_NODE_LEVEL } from "../../base/limits.ts";
import { CID_BYTES } from "../blocks/cid.ts";

export const HEAD_BYTES = 16;
/** A link in a node: tag 42, byte string of 37, multibase identity, CID. */
export const LINK_PREFIX = Uint8Array.of(0xd8, 0x2a, 0x58, 0x25, 0x00);
export const LINK_BYTES = LINK_PREFIX.length + CID_BYTES;
export const CHILD_VALUE_BYTES = 8;
export const NODE_VERSION = 1;
export const NODE_FIELDS = 11;

/** Offsets of the columns in the node's bytes, and their counts. */
export interface NodeLayout {
  readonly level: number;
  readonly count: number;
  readonly runs: number;
  readonly heads: number;
  readonly headEnds: number;
  readonly tails: number;
  readonly tailEnds: number;
  readonly values: number;
  readonly valueEnds: number;
  readonly linkCounts: number;
  /** Offset of the first link, and how many follow. */
  readonly links: number;
  readonly linkTotal: number;
  readonly headBytes: number;
  readonly tailBytes: number;
  readonly valueBytes: number;
}

/** Finds the columns. Checks only that sizes match the counts and fill the block. Throws `format_invalid`. */
export function locateColumns(bytes: Uint8Array, view: DataView): NodeLayout {
  const head = new HeadReader(bytes, view);
  if (bytes[0] !== (ARRAY << 5) + NODE_FIELDS || bytes[1] !== NODE_VERSION) throw invalidNode("has an unknown version");
  head.at = 2;
  const level = head.read(UNSIGNED);
  const count = head.read(UNSIGNED);
  if (level > MAX_NODE_LEVEL) throw invalidNode("has too high a level");
  if (bytes.length > MAX_NODE_BYTES && count > 1) throw invalidNode("is too large");
  const headBytes = head.read(BYTES);
  const heads = head.skip(headBytes);
  const headEndBytes = head.read(BYTES);
  const headEnds = head.skip(headEndBytes);
  const tailBytes = head.read(BYTES);
  const tails = head.skip(tailBytes);
  const tailEndBytes = head.read(BYTES);
  const tailEnds = head.skip(tailEndBytes);
  const valueBytes = head.read(BYTES);
  const values = head.skip(valueBytes);
  const valueEndBytes = head.read(BYTES);
  const valueEnds = head.skip(valueEndBytes);
  const linkCountBytes = head.read(BYTES);
  const linkCounts = head.skip(linkCountBytes);
  const linkTotal = head.read(ARRAY);
  const links = head.skip(linkTotal * LINK_BYTES);
  if (head.at !== bytes.length) throw invalidNode("has trailing bytes");
  if (headEndBytes % 4 !== 0 || tailEndBytes !== 4 * count || valueEndBytes !== 4 * count || linkCountBytes !== count) {
    throw invalidNode("has columns of inconsistent lengths");
  }
  return {
    level,
    count,
    runs: headEndBytes / 4,
    heads,
    headEnds,
    tails,
    tailEnds,
    values,
    valueEnds,
    linkCounts,
    links,
    linkTotal,
    headBytes,
    tailBytes,
    valueBytes,
  };
}

/** The error for a malformed node; `what` is the fault. */
export function invalidNode(what: string): SynclineError {
  return new SynclineError("format_invalid", `A tree node ${what}.`);
}

/** Bytes of the CBOR head of a number or length. */
export function headLength(value: number): number {
  return value < 24 ? 1 : value < 0x100 ? 2 : value < 0x10000 ? 3 : 5;
}

/** Writes the shortest CBOR head and returns the offset behind it. */
export function writeHead(bytes: Uint8Array, at: number, major: number, value: number): number {
  const type = major << 5;
  if (value < 24) {
    bytes[at] = type | value;
    return at + 1;
  }
  const width = value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
  bytes[at] = type | (width === 1 ? 24 : width === 2 ? 25 : 26);
  for (let byte = 0; byte < width; byte++) bytes[at + 1 + byte] = value >>> (8 * (width - 1 - byte));
  return at + 1 + width;
}

/** CBOR major types that a node uses. */
export const UNSIGNED = 0;
export const BYTES = 2;
export const ARRAY = 4;

/** Reads successive CBOR heads; only the shortest form of at most 32 bits. */
class HeadReader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, view: DataView) {
    this.#bytes = bytes;
    this.#view = view;
  }

  /** The value of the head at `at`, which must be of this major type. */
  read(major: number): number {
    const first = this.#bytes[this.at] ?? 0xff;
    if (first >>> 5 !== major) throw invalidNode("has a field of the wrong type");
    const info = first & 31;
    if (info < 24) {
      this.at += 1;
      return info;
    }
    const width = info === 24 ? 1 : info === 25 ? 2 : 4;
    if (info > 26 || this.at + 1 + width > this.#bytes.length) throw invalidNode("is truncated");
    const value = this.#number(this.at + 1, width);
    if (headLength(value) !== 1 + width) throw invalidNode("has a number that is not in its shortest form");
    this.at += 1 + width;
    return value;
  }

  /** Skips a field's bytes and returns where they begin. */
  skip(length: number): number {
    const from = this.at;
    if (from + length > this.#bytes.length) throw invalidNode("is truncated");
    this.at = from + length;
    return from;
  }

  #number(at: number, width: number): number {
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }
}
