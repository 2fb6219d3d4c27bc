/**
 * Checks a dag-cbor block and finds its links without decoding it: in one pass, allocating only the links' offsets.
 *
 * `decodeCbor` uses this check, since the library takes keys in any order: non-canonical encodings are rejected. 4 MiB take tens of milliseconds at worst; decoding
 * and re-encoding would take seconds, and clients choose what a master scans.
 */
import { isUtf8 } from "node:buffer";
import { compareRanges } from "../../base/bytes.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED, MAX_CBOR_DEPTH } from "../../base/limits.ts";
import { CID_BYTES, cidAt, isBlockCid } from "./cid.ts";

/** The links of a block in order. Keeps the block's bytes in memory. */
export class LinkList {
  readonly #bytes: Uint8Array;
  readonly #offsets: readonly number[];

  constructor(bytes: Uint8Array, offsets: readonly number[]) {
    this.#bytes = bytes;
    this.#offsets = offsets;
  }

  get count(): number {
    return this.#offsets.length;
  }

  /** The links [from, to), as far as they exist. */
  slice(from: number, to: number = this.count): Cid[] {
    return this.#offsets.slice(from, to).map((at) => cidAt(this.#bytes, at));
  }

  /** Omits this link, unless it occurs twice: then one occurrence has another meaning. */
  without(cid: Cid): LinkList {
    const at = this.slice(0).flatMap((link, index) => (link === cid ? [index] : []));
    return at.length === 1 ? new LinkList(this.#bytes, this.#offsets.toSpliced(at[0] ?? 0, 1)) : this;
  }
}

/** Throws `format_invalid` as `decodeCbor` does. */
export function scanLinks(bytes: Uint8Array): LinkList {
  if (bytes.length > MAX_BLOCK_ACCEPTED) throw invalid(`has ${bytes.length} bytes, more than ${MAX_BLOCK_ACCEPTED}`);
  return new LinkList(bytes, scanned(bytes).links);
}

/** Throws `format_invalid` unless the bytes, of any length, are the canonical encoding of one value. */
export function checkCbor(bytes: Uint8Array): void {
  scanned(bytes);
}

function scanned(bytes: Uint8Array): Scan {
  const scan = new Scan(bytes);
  scan.value(0);
  if (scan.at !== bytes.length) throw invalid("has trailing bytes");
  return scan;
}

// Major types (RFC 8949, section 3.1), and the first bytes that dag-cbor knows beyond them.
const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const LIST = 4;
const MAP = 5;
const FALSE = 0xf4;
const NULL = 0xf6;
const TAG = 0xd8;
/** Tag 42, a byte string of 37, the multibase prefix; then the common start of all our CIDs, except the codec. */
const LINK_HEAD = [TAG, 42, 0x58, 1 + CID_BYTES, 0x00] as const;
/** The smallest number that heads with 1, 2, 4 or 8 more bytes may encode. */
const LEAST = [24, 2 ** 8, 2 ** 16, 2 ** 32] as const;

class Scan {
  readonly #bytes: Uint8Array;
  readonly links: number[] = [];
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(depth: number): void {
    if (depth > MAX_CBOR_DEPTH) throw invalid("is nested too deeply");
    const first = this.#bytes[this.at];
    if (first === undefined) throw invalid("is truncated");
    switch (first >> 5) {
      case UNSIGNED:
      case NEGATIVE:
        this.#argument();
        return;
      case BYTES:
        this.#skip(this.#argument());
        return;
      case TEXT:
        this.#text();
        return;
      case LIST:
        for (let left = this.#argument(); left > 0; left--) this.value(depth + 1);
        return;
      case MAP:
        this.#map(depth);
        return;
      default:
        if (first === TAG) this.#link();
        else if (first >= FALSE && first <= NULL) this.at++;
        else throw invalid("contains a value of unknown type");
    }
  }

  /** The number after a major type, in shortest form. Above 2^53 only its magnitude matters: blocks are never that long. */
  #argument(): number {
    const info = (this.#bytes[this.at++] ?? 0) & 31;
    if (info < 24) return info;
    if (info > 27) throw invalid("is not canonical");
    const width = 1 << (info - 24);
    let value = 0;
    for (let index = 0; index < width; index++) value = value * 256 + this.#byte();
    if (value < (LEAST[info - 24] ?? 0)) throw invalid("is not canonical");
    return value;
  }

  #map(depth: number): void {
    const count = this.#argument();
    let from = 0;
    let to = 0;
    for (let index = 0; index < count; index++) {
      if ((this.#bytes[this.at] ?? 0) >> 5 !== TEXT) throw invalid("has a key that is not a string");
      const length = this.#text();
      const keyFrom = this.at - length;
      if (index > 0 && !this.#ascends(from, to, keyFrom, this.at)) throw invalid("is not canonical");
      from = keyFrom;
      to = this.at;
      this.value(depth + 1);
    }
  }

  /** The order of keys: by length, then by bytes. */
  #ascends(from: number, to: number, nextFrom: number, nextTo: number): boolean {
    const difference = to - from - (nextTo - nextFrom);
    if (difference !== 0) return difference < 0;
    return compareRanges(this.#bytes, from, to, this.#bytes, nextFrom, nextTo) < 0;
  }

  /** Its length in bytes. */
  #text(): number {
    const length = this.#argument();
    const from = this.at;
    this.#skip(length);
    // Decoders strip a byte order mark, so such a text would not encode to the same bytes.
    if (length >= 3 && this.#bytes[from] === 0xef && this.#bytes[from + 1] === 0xbb && this.#bytes[from + 2] === 0xbf) {
      throw invalid("has a string that begins with a byte order mark");
    }
    // Most texts are short and ASCII: a native call for each would cost more than this loop.
    for (let at = from; at < this.at; at++) {
      if ((this.#bytes[at] ?? 0) < 0x80) continue;
      if (!isUtf8(this.#bytes.subarray(at, this.at))) throw invalid("is not canonical");
      break;
    }
    return length;
  }

  #link(): void {
    for (const expected of LINK_HEAD) if (this.#byte() !== expected) throw invalid("has a foreign tag or link");
    const from = this.at;
    this.#skip(CID_BYTES);
    if (!isBlockCid(this.#bytes, from)) throw invalid("has a link that is not blake3-256 over dag-cbor or raw");
    this.links.push(from);
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw invalid("is truncated");
    return byte;
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.at) throw invalid("is truncated");
    this.at += length;
  }
}

function invalid(what: string): SynclineError {
  return new SynclineError("format_invalid", `A dag-cbor block ${what}.`);
}
