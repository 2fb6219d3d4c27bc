/** Compares byte strings, in plain loops that beat native calls at the lengths of tree keys; and frees their memory. */

/** Order of the bytes, shorter first: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** As compareBytes, between the bytes [aFrom, aTo) of `a` and [bFrom, bTo) of `b`. */
export function compareRanges(
  a: Uint8Array,
  aFrom: number,
  aTo: number,
  b: Uint8Array,
  bFrom: number,
  bTo: number,
): number {
  const aLength = aTo - aFrom;
  const bLength = bTo - bFrom;
  const shared = Math.min(aLength, bLength);
  for (let at = 0; at < shared; at++) {
    const difference = (a[aFrom + at] ?? 0) - (b[bFrom + at] ?? 0);
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/** Whether `length` bytes of both from these offsets are equal. A native call, faster from some 64 bytes on. */
export function sameRanges(a: Uint8Array, aFrom: number, b: Uint8Array, bFrom: number, length: number): boolean {
  if (length < NATIVE_FROM_BYTES) return compareRanges(a, aFrom, aFrom + length, b, bFrom, bFrom + length) === 0;
  return compareNatively.call(a, b, bFrom, bFrom + length, aFrom, aFrom + length) === 0;
}

/** Bytes, and a DataView of them. */
export interface Viewed {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Where bytes [from, to) of both first differ; -1: nowhere. Compares pieces natively, a differing one by four bytes. */
export function firstDifference(a: Viewed, b: Viewed, from: number, to: number): number {
  let at = from;
  for (; at < to; at += PIECE_BYTES) if (!sameRanges(a.bytes, at, b.bytes, at, Math.min(PIECE_BYTES, to - at))) break;
  const [x, y] = [a.view, b.view];
  for (; at + 4 <= to; at += 4) if (x.getInt32(at) !== y.getInt32(at)) break;
  for (; at < to; at++) if (x.getUint8(at) !== y.getUint8(at)) return at;
  return -1;
}

/**
 * Frees the memory of bytes that nobody reads any more; their length is 0 afterwards. Does nothing for a part of a larger
 * buffer. Otherwise V8 would collect all garbage after each 50 MB or so of new buffers.
 */
export function freeBytes({ buffer, length }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0);
}

const PIECE_BYTES = 1_024;
const NATIVE_FROM_BYTES = 64;
const compareNatively: (
  this: Uint8Array,
  target: Uint8Array,
  targetStart: number,
  targetEnd: number,
  sourceStart: number,
  sourceEnd: number,
) => number = Buffer.prototype.compare;
