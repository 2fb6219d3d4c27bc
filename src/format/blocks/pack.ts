/**
 * A pack: many blocks in one object, and where each lies (docs/reference/formats.md, A bucket in an object store).
 *
 * ```
 * blocks    back to back from offset 0, in any order
 * rows      one a block, by ascending digest: digest 32 ‖ offset u32 ‖ length u24 ‖ codec u8
 * manifest  in commit objects only: format/blocks/manifest.ts
 * tail      footer hash 32 ‖ rows u32 ‖ bytes of manifest u32 ‖ "SYNCPAK1"
 * ```
 * Integers are little-endian. Footer = rows ‖ manifest; its hash is blake3 derive_key "syncline/pack-footer/1" over
 * blake3(footer) ‖ rows u32 ‖ bytes of manifest u32 (hashed twice, since derive_key is slow for long input). The codec says
 * how a block's bytes are stored, below its CID: 0 unchanged, others reserved. Blocks are keyed by digest: readers know the
 * CID's codec.
 */
import { SynclineError } from "../../base/errors.ts";
import { PACK_MAX_BYTES } from "../../base/limits.ts";
import { blake3, deriveHash, HASH_BYTES } from "../../crypto/hash.ts";

export const PACK_ROW_BYTES = HASH_BYTES + 4 + 3 + 1;
export const PACK_TAIL_BYTES = HASH_BYTES + 4 + 4 + 8;
/** Stored unchanged. */
export const PLAIN = 0;

export interface PackRow {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
  readonly codec: number;
}

/** Sizes that determine the positions of a pack's parts. */
export interface PackShape {
  /** Bytes of the whole object. */
  readonly size: number;
  readonly rows: number;
  readonly manifestBytes: number;
}

/** The rows of one pack, searched in their encoded form. */
export class PackFooter {
  readonly #bytes: Buffer;

  /** `rows` are encoded and already validated. */
  constructor(rows: Uint8Array) {
    this.#bytes = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
  }

  /** Bytes of memory that it keeps: its rows, and what was read with them. */
  get memoryBytes(): number {
    return this.#bytes.buffer.byteLength;
  }

  get count(): number {
    return this.#bytes.length / PACK_ROW_BYTES;
  }

  find(digest: Uint8Array): PackRow | undefined {
    const { index, isThere } = searchRows(this.#bytes, PACK_ROW_BYTES, this.count, digest);
    return isThere ? this.row(index) : undefined;
  }

  row(index: number): PackRow {
    return readRow(this.#bytes, index * PACK_ROW_BYTES);
  }

  *[Symbol.iterator](): Generator<PackRow> {
    for (let index = 0; index < this.count; index++) yield this.row(index);
  }
}

/** The index of a digest among `count` rows, in ascending order, or where it would be inserted. */
export function searchRows(
  bytes: Buffer,
  rowBytes: number,
  count: number,
  digest: Uint8Array,
): { readonly index: number; readonly isThere: boolean } {
  const word = firstWord(digest, 0);
  let low = 0;
  for (let high = count; low < high;) {
    const middle = (low + high) >>> 1;
    const at = middle * rowBytes;
    // Digests nearly always differ in their first bytes, and comparing them completely takes ten times as long.
    const order = firstWord(bytes, at) - word || bytes.compare(digest, 0, HASH_BYTES, at, at + HASH_BYTES);
    if (order === 0) return { index: middle, isThere: true };
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return { index: low, isThere: false };
}

/** Big-endian, like the order of digests. */
function firstWord(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** The row at `at`; its digest is a view of `bytes`. */
export function readRow(bytes: Buffer, at: number): PackRow {
  return {
    digest: bytes.subarray(at, at + HASH_BYTES),
    offset: bytes.readUInt32LE(at + HASH_BYTES),
    length: bytes.readUIntLE(at + HASH_BYTES + 4, 3),
    codec: bytes[at + HASH_BYTES + 7] ?? PLAIN,
  };
}

/** Writes one row in the footer's encoding: PACK_ROW_BYTES from `at` on. */
export function writeRow(target: Buffer, at: number, row: PackRow): void {
  target.set(row.digest, at);
  target.writeUInt32LE(row.offset, at + HASH_BYTES);
  target.writeUIntLE(row.length, at + HASH_BYTES + 4, 3);
  target[at + HASH_BYTES + 7] = row.codec;
}

/** Rows, manifest and tail of a pack with these blocks, in any order; `manifest` is empty except in commit objects. */
export function encodeFooter(
  rows: readonly PackRow[],
  manifest: Uint8Array,
): { footer: PackFooter; bytes: Uint8Array } {
  const rowBytes = rows.length * PACK_ROW_BYTES;
  const bytes = Buffer.alloc(rowBytes + manifest.length + PACK_TAIL_BYTES);
  const sorted = rows.toSorted((a, b) => Buffer.compare(a.digest, b.digest));
  for (const [index, row] of sorted.entries()) writeRow(bytes, index * PACK_ROW_BYTES, row);
  bytes.set(manifest, rowBytes);
  const tail = rowBytes + manifest.length;
  bytes.set(footerHash(bytes.subarray(0, tail), rows.length, manifest.length), tail);
  bytes.writeUInt32LE(rows.length, tail + HASH_BYTES);
  bytes.writeUInt32LE(manifest.length, tail + HASH_BYTES + 4);
  bytes.write(MAGIC, tail + HASH_BYTES + 8, "latin1");
  return { footer: new PackFooter(bytes.subarray(0, rowBytes)), bytes };
}

/** Where the footer starts; the tail follows, up to the object's end. */
export function footerOffset(shape: PackShape): number {
  return shape.size - PACK_TAIL_BYTES - shape.manifestBytes - shape.rows * PACK_ROW_BYTES;
}

/** Bytes of the footer and the tail. */
export function footerBytes(shape: PackShape): number {
  return shape.size - footerOffset(shape);
}

/** The shape, from the last PACK_TAIL_BYTES (or more) of an object of `size` bytes. Throws `format_invalid`. */
export function readTail(end: Uint8Array, size: number): PackShape {
  const bytes = Buffer.from(end.buffer, end.byteOffset, end.byteLength);
  const tail = bytes.length - PACK_TAIL_BYTES;
  if (tail < 0 || bytes.toString("latin1", tail + HASH_BYTES + 8) !== MAGIC)
    throw invalid("does not end with a pack tail");
  const shape = {
    size,
    rows: bytes.readUInt32LE(tail + HASH_BYTES),
    manifestBytes: bytes.readUInt32LE(tail + HASH_BYTES + 4),
  };
  if (size > PACK_MAX_BYTES || footerOffset(shape) < 0) throw invalid("has impossible sizes");
  return shape;
}

/** The footer in `bytes`, which extend from `footerOffset(shape)` to the object's end. Throws `format_invalid`. */
export function decodeFooter(bytes: Uint8Array, shape: PackShape): { footer: PackFooter; manifest: Uint8Array } {
  const told = readTail(bytes, shape.size);
  const rowBytes = shape.rows * PACK_ROW_BYTES;
  const tail = rowBytes + shape.manifestBytes;
  if (
    told.rows !== shape.rows ||
    told.manifestBytes !== shape.manifestBytes ||
    bytes.length !== tail + PACK_TAIL_BYTES
  ) {
    throw invalid("has a footer of unexpected size");
  }
  const hash = footerHash(bytes.subarray(0, tail), shape.rows, shape.manifestBytes);
  if (Buffer.compare(hash, bytes.subarray(tail, tail + HASH_BYTES)) !== 0) throw invalid("has a damaged footer");
  const rows = Buffer.from(bytes.buffer, bytes.byteOffset, rowBytes);
  checkRows(rows, shape.rows, footerOffset(shape));
  return { footer: new PackFooter(rows), manifest: bytes.subarray(rowBytes, tail) };
}

/** Format 1. */
const MAGIC = "SYNCPAK1";

/** Row lengths have 24 bits. */
const LENGTHS = 2 ** 24;
const NO_BYTES = blake3(new Uint8Array());

/**
 * Checks that digests ascend, and that the blocks cover the bytes before the footer exactly. Only a master's pack has an
 * empty block, and that once. Decodes no rows: as objects they would take ten times the memory.
 */
function checkRows(rows: Buffer, count: number, blockBytes: number): void {
  // Offset and length as one number, which is exact: packs are smaller than 2^29 bytes.
  const spans = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const at = index * PACK_ROW_BYTES;
    const before = at - PACK_ROW_BYTES;
    if (index > 0 && rows.compare(rows, before, before + HASH_BYTES, at, at + HASH_BYTES) <= 0)
      throw invalid("has rows out of order");
    const offset = rows.readUInt32LE(at + HASH_BYTES);
    const length = rows.readUIntLE(at + HASH_BYTES + 4, 3);
    if (length === 0 && rows.compare(NO_BYTES, 0, HASH_BYTES, at, at + HASH_BYTES) !== 0)
      throw invalid("has a row without bytes");
    if (offset > blockBytes) throw invalid("has blocks that overlap or leave gaps");
    spans[index] = offset * LENGTHS + length;
  }
  let end = 0;
  for (const span of spans.sort()) {
    const length = span % LENGTHS;
    if ((span - length) / LENGTHS !== end) throw invalid("has blocks that overlap or leave gaps");
    end += length;
  }
  if (end !== blockBytes) throw invalid("has bytes that belong to no block");
}

/** The hash over rows and manifest, and their lengths. */
export function footerHash(footer: Uint8Array, rows: number, manifestBytes: number): Uint8Array {
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32LE(rows, 0);
  sizes.writeUInt32LE(manifestBytes, 4);
  return deriveHash("syncline/pack-footer/1", blake3(footer), sizes);
}

function invalid(what: string): SynclineError {
  return new SynclineError("format_invalid", `A pack ${what}.`);
}
