/**
 * CRC-32 of any range of a byte array, at a cost independent of the range's length. A search can so check every possible
 * frame, although each may claim to reach to the end.
 *
 * The checksums up to every multiple of STEP are stored. CRC-32 is linear: the difference of two checksums, shifted by the
 * length of the following bytes, is the difference after those bytes (zlib's `crc32_combine`).
 */
import { crc32 } from "node:zlib";

export class RangeChecksums {
  readonly #bytes: Uint8Array;
  /** Of the bytes up to each multiple of STEP, computed on demand. */
  readonly #upTo: number[] = [0];

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** zlib's `crc32` of the bytes [from, to), given the checksum of what precedes them. */
  of(from: number, to: number, before = 0): number {
    return (this.#until(to) ^ shifted(this.#until(from) ^ before, to - from)) >>> 0;
  }

  #until(end: number): number {
    const steps = Math.floor(end / STEP);
    for (let step = this.#upTo.length; step <= steps; step++) {
      this.#upTo.push(crc32(this.#bytes.subarray((step - 1) * STEP, step * STEP), this.#upTo[step - 1]));
    }
    return crc32(this.#bytes.subarray(steps * STEP, end), this.#upTo[steps]);
  }
}

const STEP = 512;
/** CRC-32's polynomial with bits reversed: x^0 is the highest bit. */
const POLYNOMIAL = 0xedb8_8320;
const ONE = 0x8000_0000;
const BITS = 32;

/** x^(2^n) modulo the polynomial. They repeat after the last one. */
const squares = [0x4000_0000];
for (let at = 1; at < BITS; at++) squares.push(product(squares[at - 1] ?? 0, squares[at - 1] ?? 0));

/** The difference of two checksums after appending the same `length` bytes to both. */
function shifted(difference: number, length: number): number {
  let power = ONE;
  // A byte is x^8, and 8 is 2^3.
  for (let left = length, at = 3; left > 0; left = Math.floor(left / 2), at++) {
    if (left % 2 === 1) power = product(squares[at % BITS] ?? 0, power);
  }
  return product(power, difference);
}

/** The product of two polynomials over GF(2), modulo the polynomial. */
function product(a: number, b: number): number {
  let sum = 0;
  let power = b;
  for (let bit = ONE; bit > 0; bit >>>= 1) {
    if ((a & bit) !== 0) sum ^= power;
    power = (power & 1) === 0 ? power >>> 1 : (power >>> 1) ^ POLYNOMIAL;
  }
  return sum >>> 0;
}
