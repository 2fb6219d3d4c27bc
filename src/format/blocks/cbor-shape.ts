/** Reads decoded dag-cbor by its expected shape. Everything here throws `format_invalid`, naming the misfit. */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { cidFromBytes, type Codec, codecOf } from "./cid.ts";
import { type CborMap, type CborValue, Link } from "./dag-cbor.ts";

/** A map with exactly these keys; with `open`, others are allowed too. */
export function asMap(value: CborValue | undefined, what: string, keys: readonly string[], open = false): CborMap {
  if (!isMap(value)) throw misfit(what, "is not a map");
  for (const key of keys) if (!Object.hasOwn(value, key)) throw misfit(what, `lacks ${key}`);
  if (!open && Object.keys(value).length !== keys.length) throw misfit(what, "has an extra field");
  return value;
}

export function asList(value: CborValue | undefined, what: string, length?: number): readonly CborValue[] {
  if (!Array.isArray(value) || (length !== undefined && value.length !== length)) {
    throw misfit(what, `is not a list${length === undefined ? "" : ` of ${length}`}`);
  }
  return value as readonly CborValue[];
}

/** A natural number up to `max`. */
export function asCount(value: CborValue | undefined, what: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || value < 0 || value > max) throw misfit(what, `is not a number from 0 to ${max}`);
  return value;
}

/** A signed integer of 64 bits. */
export function asBigInt(value: CborValue | undefined, what: string): bigint {
  if (typeof value !== "number" && typeof value !== "bigint") throw misfit(what, "is not an integer");
  const number = BigInt(value);
  if (BigInt.asIntN(64, number) !== number) throw misfit(what, "is not a 64-bit integer");
  return number;
}

/** Exactly `length` bytes. */
export function asBytes(value: CborValue | undefined, what: string, length: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) throw misfit(what, `is not ${length} bytes`);
  return value;
}

/** Text of at most `maxBytes` in UTF-8. */
export function asText(value: CborValue | undefined, what: string, maxBytes: number): string {
  if (typeof value !== "string" || Buffer.byteLength(value) > maxBytes) {
    throw misfit(what, `is not a string of at most ${maxBytes} bytes`);
  }
  return value;
}

/** Texts in ascending order, so that a set has one encoding. */
export function asTextSet(value: CborValue | undefined, what: string, maxBytes: number): string[] {
  const texts = asList(value, what).map((item) => asText(item, what, maxBytes));
  if (texts.some((text, at) => text === "" || (at > 0 && text <= (texts[at - 1] ?? "")))) {
    throw misfit(what, "is not sorted or contains an empty string");
  }
  return texts;
}

export function asLink(value: CborValue | undefined, what: string, codec: Codec): Cid {
  if (!(value instanceof Link) || codecOf(value.cid) !== codec) throw misfit(what, `is not a link to a ${codec} block`);
  return value.cid;
}

/** A weak link: the binary CID as bytes, so that link walks do not follow it. */
export function asWeakLink(value: CborValue | undefined, what: string): Cid {
  if (!(value instanceof Uint8Array)) throw misfit(what, "is not a weak link");
  const cid = cidFromBytes(value);
  if (codecOf(cid) !== "dag-cbor") throw misfit(what, "is not a weak link to a dag-cbor block");
  return cid;
}

/** The error for a block whose field `what` is wrong. */
export function misfit(what: string, how: string): SynclineError {
  return new SynclineError("format_invalid", `In a block, ${what} ${how}.`);
}

function isMap(value: CborValue | undefined): value is CborMap {
  const object = typeof value === "object" && value !== null;
  return object && !Array.isArray(value) && !(value instanceof Uint8Array) && !(value instanceof Link);
}
