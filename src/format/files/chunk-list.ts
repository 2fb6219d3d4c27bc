/**
 * A node of a chunk list: which chunks and holes a run of a file consists of (docs/reference/formats.md, Content).
 *
 * dag-cbor: `[1, level, lengths, links]` at level 0, where a link is a raw block or null for a hole, and
 * `[1, level, lengths, links, data lengths]` above, where a link is a node one level down. `lengths` are bytes of the file;
 * `data lengths` leave holes out, so that the space a file takes and its holes are found without reading the leaves.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED, MAX_LIST_ENTRIES, MAX_LIST_LEVEL } from "../../base/limits.ts";
import { CID_BYTES, cidAt, cidToBytes } from "../blocks/cid.ts";

export interface ListEntry {
  /** The chunk or the node; undefined: a hole. */
  readonly cid: Cid | undefined;
  /** Bytes of the file, at least 1. */
  readonly length: number;
  /** Bytes that are not in holes: `length` for a chunk, 0 for a hole. */
  readonly dataLength: number;
}

/** A decoded node. Links become CIDs on demand, so that opening a node is cheap. */
export interface ChunkList {
  readonly level: number;
  /** The end of each entry, in bytes from the node's start; ascending, one per entry. */
  readonly ends: Float64Array;
  /** Bytes of the file that the node spans. */
  readonly length: number;
  readonly dataLength: number;
  /** Size of the encoded node in bytes. */
  readonly encodedBytes: number;
  /** The entry at this index, which must exist. */
  entry(index: number): ListEntry;
}

/** The node's bytes. The caller must respect the limits that decoding checks. */
export function encodeChunkList(level: number, entries: readonly ListEntry[]): Uint8Array {
  const lengths = level === 0 ? 1 : 2;
  const writer = new Writer(16 + entries.length * (lengths * MAX_UINT_BYTES + LINK_HEAD.length + CID_BYTES));
  writer.head(ARRAY, level === 0 ? 4 : 5);
  writer.head(UINT, VERSION);
  writer.head(UINT, level);
  writer.head(ARRAY, entries.length);
  for (const entry of entries) writer.head(UINT, entry.length);
  writer.head(ARRAY, entries.length);
  for (const entry of entries) writer.link(entry.cid);
  if (level > 0) {
    writer.head(ARRAY, entries.length);
    for (const entry of entries) writer.head(UINT, entry.dataLength);
  }
  return writer.taken();
}

/** Throws `format_invalid` unless `bytes` are the canonical encoding of a node within the limits. */
export function decodeChunkList(bytes: Uint8Array): ChunkList {
  const reader = new Reader(bytes);
  const fields = reader.head(ARRAY);
  if (reader.head(UINT) !== VERSION) throw invalid("has an unknown version");
  const level = reader.head(UINT);
  if (level > MAX_LIST_LEVEL || fields !== (level === 0 ? 4 : 5)) throw invalid("has an impossible level");

  const count = reader.head(ARRAY);
  if (count === 0 || count > MAX_LIST_ENTRIES) throw invalid("has no entries or too many");
  const ends = new Float64Array(count);
  let length = 0;
  for (let index = 0; index < count; index++) {
    const each = reader.head(UINT);
    if (each === 0) throw invalid("has an entry of length zero");
    length += each;
    if (!Number.isSafeInteger(length)) throw invalid("is longer than a file can be");
    ends[index] = length;
  }

  if (reader.head(ARRAY) !== count) throw invalid("has different numbers of links and lengths");
  const links = new Int32Array(count);
  for (let index = 0; index < count; index++) links[index] = reader.link(level === 0 ? RAW : DAG_CBOR);
  const data = level === 0 ? leafData(ends, links) : innerData(reader, ends, links);
  reader.expectEnd();
  return new DecodedList(bytes, level, ends, links, data);
}

const VERSION = 1;
const UINT = 0;
const ARRAY = 4;
const NULL = 0xf6;
const MAX_UINT_BYTES = 9;
/** Tag 42, a byte string of 37 bytes, the multibase prefix 0 (dag-cbor's encoding of a link). */
const LINK_HEAD = Uint8Array.of(0xd8, 0x2a, 0x58, CID_BYTES + 1, 0x00);
const RAW = 0x55;
const DAG_CBOR = 0x71;
const HOLE = -1;

function leafData(ends: Float64Array, links: Int32Array): Float64Array {
  const data = new Float64Array(ends.length);
  let before = 0;
  for (let index = 0; index < ends.length; index++) {
    const end = ends[index] ?? 0;
    const hole = links[index] === HOLE;
    if (hole && links[index - 1] === HOLE) throw invalid("has two adjacent holes");
    if (!hole && end - before > MAX_BLOCK_ACCEPTED) throw invalid("has a chunk that is too long");
    data[index] = hole ? 0 : end - before;
    before = end;
  }
  return data;
}

function innerData(reader: Reader, ends: Float64Array, links: Int32Array): Float64Array {
  if (links.includes(HOLE)) throw invalid("has a hole above its leaves");
  if (reader.head(ARRAY) !== ends.length) throw invalid("has different numbers of data lengths and lengths");
  const data = new Float64Array(ends.length);
  let before = 0;
  for (let index = 0; index < ends.length; index++) {
    const end = ends[index] ?? 0;
    const each = reader.head(UINT);
    if (each > end - before) throw invalid("has an entry with more data than its length");
    data[index] = each;
    before = end;
  }
  return data;
}

class DecodedList implements ChunkList {
  readonly level: number;
  readonly ends: Float64Array;
  readonly dataLength: number;
  readonly #bytes: Uint8Array;
  readonly #links: Int32Array;
  readonly #data: Float64Array;
  readonly #cids: (Cid | undefined)[];

  constructor(bytes: Uint8Array, level: number, ends: Float64Array, links: Int32Array, data: Float64Array) {
    this.level = level;
    this.ends = ends;
    this.dataLength = data.reduce((sum, each) => sum + each, 0);
    this.#bytes = bytes;
    this.#links = links;
    this.#data = data;
    this.#cids = Array.from<undefined>({ length: ends.length });
  }

  get length(): number {
    return this.ends[this.ends.length - 1] ?? 0;
  }

  get encodedBytes(): number {
    return this.#bytes.length;
  }

  entry(index: number): ListEntry {
    const at = this.#links[index];
    if (at === undefined) throw new RangeError(`entry ${index} of ${this.ends.length}`);
    const length = (this.ends[index] ?? 0) - (index === 0 ? 0 : (this.ends[index - 1] ?? 0));
    if (at === HOLE) return { cid: undefined, length, dataLength: 0 };
    const cid = (this.#cids[index] ??= cidAt(this.#bytes, at));
    return { cid, length, dataLength: this.#data[index] ?? 0 };
  }
}

/** Reads canonical CBOR heads: shortest form, definite lengths, nothing above 2^53. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  head(major: number): number {
    const first = this.#take(1);
    const lead = (this.#bytes[first] ?? 0) - (major << 5);
    if (lead >= 0 && lead < 24) return lead;
    if (lead < 24 || lead > 27) throw invalid("is not canonical");
    const at = this.#take(1 << (lead - 24));
    const [value, least] =
      lead === 24
        ? [this.#view.getUint8(at), 24]
        : lead === 25
          ? [this.#view.getUint16(at), 2 ** 8]
          : lead === 26
            ? [this.#view.getUint32(at), 2 ** 16]
            : [Number(this.#view.getBigUint64(at)), 2 ** 32];
    if (value < least || value > Number.MAX_SAFE_INTEGER) throw invalid("is not canonical");
    return value;
  }

  /** The offset of the link's 36 bytes, or HOLE for null. */
  link(codec: number): number {
    if (this.#bytes[this.#at] === NULL) {
      this.#at += 1;
      return HOLE;
    }
    const head = this.#take(LINK_HEAD.length);
    const at = this.#take(CID_BYTES);
    for (let index = 0; index < LINK_HEAD.length; index++) {
      if (this.#bytes[head + index] !== LINK_HEAD[index]) throw invalid("has a malformed link");
    }
    const [version, code, hash, size] = this.#bytes.subarray(at, at + 4);
    if (version !== 1 || code !== codec || hash !== 0x1e || size !== 32)
      throw invalid("links to the wrong kind of block");
    return at;
  }

  expectEnd(): void {
    if (this.#at !== this.#bytes.length) throw invalid("has trailing bytes");
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw invalid("is truncated");
    this.#at = at + count;
    return at;
  }
}

class Writer {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  head(major: number, value: number): void {
    const lead = major << 5;
    if (value < 24) return this.#byte(lead | value);
    if (value < 2 ** 8) return this.#byte(lead | 24, () => this.#view.setUint8(this.#at, value), 1);
    if (value < 2 ** 16) return this.#byte(lead | 25, () => this.#view.setUint16(this.#at, value), 2);
    if (value < 2 ** 32) return this.#byte(lead | 26, () => this.#view.setUint32(this.#at, value), 4);
    return this.#byte(lead | 27, () => this.#view.setBigUint64(this.#at, BigInt(value)), 8);
  }

  link(cid: Cid | undefined): void {
    if (cid === undefined) return this.#byte(NULL);
    this.#bytes.set(LINK_HEAD, this.#at);
    this.#bytes.set(cidToBytes(cid), this.#at + LINK_HEAD.length);
    this.#at += LINK_HEAD.length + CID_BYTES;
  }

  taken(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }

  #byte(value: number, argument?: () => void, argumentBytes = 0): void {
    this.#bytes[this.#at++] = value;
    argument?.();
    this.#at += argumentBytes;
  }
}

function invalid(what: string): SynclineError {
  return new SynclineError("format_invalid", `A chunk list node ${what}.`);
}
