/**
 * Strict dag-cbor: each value has one encoding, and whatever decodes encodes to the same bytes again.
 *
 * Our formats use null, booleans, integers, text, bytes, lists, maps with text keys, and links; floats are rejected.
 * Source: https://ipld.io/specs/codecs/dag-cbor/spec/
 */
import { decode, encode } from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED, MAX_CBOR_DEPTH } from "../../base/limits.ts";
import { cidFromBytes, cidToBytes } from "./cid.ts";
import { checkCbor } from "./link-scan.ts";

/** A link as a value: encoded with tag 42. */
export class Link {
  readonly cid: Cid;
  constructor(cid: Cid) {
    this.cid = cid;
  }
}

/** Integers are numbers if safe, else bigints of at most 64 bits. */
export type CborValue = null | boolean | number | bigint | string | Uint8Array | Link | readonly CborValue[] | CborMap;

export interface CborMap {
  readonly [key: string]: CborValue;
}

export function encodeCbor(value: CborValue): Uint8Array {
  return encode(toLibrary(value, 0));
}

/**
 * The value with this canonical encoding. Throws `format_invalid` for other key orders or widths, trailing bytes, floats,
 * foreign links, texts with a byte order mark, more than `maxBytes`, or nesting deeper than MAX_CBOR_DEPTH.
 */
export function decodeCbor(bytes: Uint8Array, maxBytes: number = MAX_BLOCK_ACCEPTED): CborValue {
  if (bytes.length > maxBytes) throw invalid(`has ${bytes.length} bytes, more than ${maxBytes}`);
  // The library accepts any key order. Encoding again to compare would cost as much as decoding.
  checkCbor(bytes);
  return fromLibrary(decoded(bytes), 0);
}

function decoded(bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch (cause) {
    throw invalid("does not decode", cause);
  }
}

function toLibrary(value: CborValue, depth: number): unknown {
  if (depth > MAX_CBOR_DEPTH) throw invalid("is nested too deeply");
  if (value instanceof Link) return CID.decode(cidToBytes(value.cid));
  if (typeof value === "number" && !Number.isSafeInteger(value))
    throw invalid("contains a number that is not an integer");
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (isList(value)) return value.map((item) => toLibrary(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toLibrary(item, depth + 1)]));
}

function fromLibrary(value: unknown, depth: number): CborValue {
  if (depth > MAX_CBOR_DEPTH) throw invalid("is nested too deeply");
  switch (typeof value) {
    case "number":
      if (!Number.isSafeInteger(value) || Object.is(value, -0))
        throw invalid("contains a number that is not an integer");
      return value;
    case "boolean":
    case "bigint":
    case "string":
      return value;
    case "object":
      return fromLibraryObject(value, depth);
    default:
      throw invalid("contains a value of unknown type");
  }
}

function fromLibraryObject(value: object | null, depth: number): CborValue {
  if (value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => fromLibrary(item, depth + 1));
  const cid = CID.asCID(value);
  if (cid !== null) return new Link(cidFromBytes(cid.bytes));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromLibrary(item, depth + 1)]));
}

function isList(value: readonly CborValue[] | CborMap): value is readonly CborValue[] {
  return Array.isArray(value);
}

function invalid(what: string, cause?: unknown): SynclineError {
  return new SynclineError("format_invalid", `A dag-cbor block ${what}.`, { cause });
}
