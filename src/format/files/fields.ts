/**
 * Tagged fields, the encoding of rows: `tag u8 ‖ length ‖ payload`, tags ascending, length as unsigned LEB128 in one or two
 * bytes. A field whose tag has its high bit set also has one link: such fields own the value's links in order.
 *
 * Every number has one encoding, so that equal values are equal bytes.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_VALUE_BYTES } from "../../base/limits.ts";

/** A row's value as the tree stores it. */
export interface EncodedValue {
  readonly value: Uint8Array;
  readonly links: readonly Cid[];
}

export const LINK_BIT = 0x80;

/** Twelve bytes hold nanoseconds for any 64-bit count of seconds. */
export const MAX_TIME_BYTES = 12;

/** Writes one value, fields in ascending order of tags. One at a time: all writers share a buffer until they finish. */
export class FieldWriter {
  readonly #bytes = sharedBuffer;
  readonly #links: Cid[] = [];
  #length = 0;
  #lastTag = 0;

  constructor(form: number) {
    this.#bytes[this.#length++] = form;
  }

  bytes(tag: number, payload: Uint8Array, link?: Cid): void {
    const head = 1 + (payload.length < 0x80 ? 1 : 2);
    if (this.#length + head + payload.length > MAX_VALUE_BYTES) {
      throw new SynclineError("limit_exceeded", `A row would take more than ${MAX_VALUE_BYTES} bytes.`);
    }
    if (tag <= this.#lastTag || tag > 0xff || tag >= LINK_BIT !== (link !== undefined)) {
      throw new SynclineError("internal", `Field ${tag} is out of order or has the wrong number of links.`);
    }
    this.#lastTag = tag;
    this.#bytes[this.#length++] = tag;
    if (payload.length >= 0x80) this.#bytes[this.#length++] = (payload.length & 0x7f) | 0x80;
    this.#bytes[this.#length++] = payload.length < 0x80 ? payload.length : payload.length >> 7;
    this.#bytes.set(payload, this.#length);
    this.#length += payload.length;
    if (link !== undefined) this.#links.push(link);
  }

  /** An unsigned safe integer; zero is omitted. */
  uint(tag: number, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new SynclineError("internal", `Field ${tag} cannot hold ${value}.`);
    if (value !== 0) this.bytes(tag, minimalBytes(BigInt(value), false));
  }

  /** A signed integer of at most MAX_TIME_BYTES; zero is omitted. */
  int(tag: number, value: bigint): void {
    if (value !== 0n) this.bytes(tag, minimalBytes(value, true));
  }

  link(tag: number, cid: Cid): void {
    this.bytes(tag, NOTHING, cid);
  }

  finish(): EncodedValue {
    return { value: this.#bytes.slice(0, this.#length), links: this.#links };
  }
}

const sharedBuffer = new Uint8Array(MAX_VALUE_BYTES);

/** Big-endian, with no unneeded byte. Throws `format_invalid` for other encodings of the number, and for zero. */
export function readUint(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) value = value * 256 + (bytes[at] ?? 0);
  if (to === from || bytes[from] === 0 || value > Number.MAX_SAFE_INTEGER) throw misspelt();
  return value;
}

const scratch = new DataView(new ArrayBuffer(8));

/** Big-endian two's complement, with no unneeded byte; zero is omitted. Throws `format_invalid`. */
export function readInt(bytes: Uint8Array, from: number, to: number): bigint {
  const length = to - from;
  const first = bytes[from] ?? 0;
  if (length === 0 || length > MAX_TIME_BYTES || (length === 1 && first === 0)) throw misspelt();
  const signOfRest = (bytes[from + 1] ?? 0) >= 0x80;
  if (length > 1 && ((first === 0 && !signOfRest) || (first === 0xff && signOfRest))) throw misspelt();
  if (length === 8) {
    for (let at = 0; at < 8; at++) scratch.setUint8(at, bytes[from + at] ?? 0);
    return scratch.getBigInt64(0);
  }
  let value = first >= 0x80 ? -1n : 0n;
  for (let at = from; at < to; at++) value = (value << 8n) | BigInt(bytes[at] ?? 0);
  return value;
}

export function misspelt(): SynclineError {
  return new SynclineError("format_invalid", "A row has a number that is not canonically encoded.");
}

/** Big-endian, with no unneeded byte: none for zero. */
export function minimalInt(value: bigint): Uint8Array {
  return minimalBytes(value, true);
}

export function minimalUint(value: number): Uint8Array {
  return value === 0 ? NOTHING : minimalBytes(BigInt(value), false);
}

const NOTHING = new Uint8Array();

function minimalBytes(value: bigint, signed: boolean): Uint8Array {
  if (BigInt.asIntN(64, value) === value) return minimalBytes64(value, signed);
  const bytes: number[] = [];
  let rest = value;
  for (; rest !== 0n && rest !== -1n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn));
  const negative = rest === -1n;
  if ((bytes[0] ?? 0) >= 0x80 !== negative) bytes.unshift(negative ? 0xff : 0);
  if (bytes.length > MAX_TIME_BYTES) throw new SynclineError("limit_exceeded", `The time ${value} is out of range.`);
  return Uint8Array.from(bytes);
}

/** The fast path, for all numbers except times after the year 2262. */
function minimalBytes64(value: bigint, signed: boolean): Uint8Array {
  scratch.setBigInt64(0, value);
  let from = 0;
  for (; from < 7; from++) {
    const byte = scratch.getUint8(from);
    const signOfRest = signed && scratch.getUint8(from + 1) >= 0x80;
    if (byte !== (signOfRest ? 0xff : 0) || (signed && value < 0n !== signOfRest)) break;
  }
  return new Uint8Array(scratch.buffer, from, 8 - from);
}
