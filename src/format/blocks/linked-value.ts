/**
 * Record fields that may be long: extended attributes and symlink targets. Short ones are inline; a long one has its own
 * block, a dag-cbor byte string of what the field would hold.
 *
 * Readers supply access to blocks (`peek`): a synchronous reader throws BlockMiss in it, an asynchronous one loads the
 * record's `linkedValues` first.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import {
  MAX_INLINE_TARGET_BYTES,
  MAX_INLINE_XATTR_BYTES,
  MAX_NAME_BYTES,
  MAX_SYMLINK_BYTES,
  MAX_XATTR_BYTES,
} from "../../base/limits.ts";
import { decodeCbor, encodeCbor } from "./dag-cbor.ts";
import type { FileRecord, Linked, Xattrs } from "../files/record.ts";

/** Stores a dag-cbor block and returns its CID. */
export type LinkBlock = (bytes: Uint8Array) => Cid;

export function isLinked(value: unknown): value is Linked {
  return typeof value === "object" && value !== null && "linked" in value;
}

/** Blocks required by `xattrsOf` and `targetOf`: at most two. */
export function linkedValues(record: FileRecord): Cid[] {
  return [record.xattrs, record.target].filter(isLinked).map((value) => value.linked);
}

/** The record's extended attributes. Throws what `peek` throws, and `format_invalid` for a malformed block. */
export function xattrsOf(record: FileRecord, peek: (cid: Cid) => Uint8Array): Xattrs {
  if (!isLinked(record.xattrs)) return record.xattrs;
  const payload = payloadOf(peek(record.xattrs.linked));
  if (payload.length <= MAX_INLINE_XATTR_BYTES)
    throw invalid("short extended attributes are in a linked block instead of inline");
  return decodeXattrs(payload);
}

/** The symlink's target. Throws what `peek` throws, and `format_invalid` for a malformed block. */
export function targetOf(record: FileRecord, peek: (cid: Cid) => Uint8Array): string {
  if (!isLinked(record.target)) return record.target;
  const target = decodeTarget(payloadOf(peek(record.target.linked)));
  if (target.length <= MAX_INLINE_TARGET_BYTES)
    throw invalid("a short symlink target is in a linked block instead of inline");
  if (target.length !== record.size) throw invalid("a symlink's size differs from its target's length");
  return target;
}

/** The record as it will decode: long values are replaced by links to blocks, which `link` stores. */
export function linkLongValues(record: FileRecord, link: LinkBlock): FileRecord {
  const { xattrs, target } = record;
  const longXattrs = !isLinked(xattrs) && xattrBytes(xattrs) > MAX_INLINE_XATTR_BYTES;
  const longTarget = !isLinked(target) && target.length > MAX_INLINE_TARGET_BYTES;
  if (!longXattrs && !longTarget) return record;
  return {
    ...record,
    xattrs: longXattrs ? { linked: link(encodeCbor(encodeXattrs(xattrs))) } : xattrs,
    target: longTarget ? { linked: link(encodeCbor(encodeTarget(target))) } : target,
  };
}

/** The size of extended attributes, which MAX_XATTR_BYTES bounds. */
export function xattrBytes(xattrs: Xattrs): number {
  let bytes = 0;
  for (const [name, value] of xattrs) bytes += 1 + name.length + 2 + value.length;
  return bytes;
}

/** Per attribute, sorted by name: length of the name u8, name, length of the value u16, value. */
export function encodeXattrs(xattrs: Xattrs): Uint8Array {
  const total = xattrBytes(xattrs);
  if (total > MAX_XATTR_BYTES) {
    throw new SynclineError("limit_exceeded", `Extended attributes take ${total} bytes, more than ${MAX_XATTR_BYTES}.`);
  }
  const payload = Buffer.allocUnsafe(total);
  let at = 0;
  for (const name of [...xattrs.keys()].sort()) {
    checkXattrName(name);
    const value = xattrs.get(name) ?? new Uint8Array();
    at = payload.writeUInt8(name.length, at);
    at += payload.write(name, at, "latin1");
    at = payload.writeUInt16BE(value.length, at);
    payload.set(value, at);
    at += value.length;
  }
  return payload;
}

export function decodeXattrs(payload: Uint8Array): Xattrs {
  const buffer = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (buffer.length > MAX_XATTR_BYTES) throw invalid("extended attributes are too long");
  const xattrs = new Map<string, Uint8Array>();
  let last = "";
  for (let at = 0; at < buffer.length;) {
    const nameEnd = at + 1 + buffer.readUInt8(at);
    if (nameEnd + 2 > buffer.length) throw invalid("an extended attribute is truncated");
    const end = nameEnd + 2 + buffer.readUInt16BE(nameEnd);
    if (end > buffer.length) throw invalid("an extended attribute is truncated");
    const name = buffer.toString("latin1", at + 1, nameEnd);
    checkXattrName(name);
    if (name <= last) throw invalid("extended attributes are not sorted by name");
    xattrs.set(name, payload.subarray(nameEnd + 2, end));
    last = name;
    at = end;
  }
  return xattrs;
}

export function encodeTarget(target: string): Uint8Array {
  return Buffer.from(checkTarget(target), "latin1");
}

export function decodeTarget(payload: Uint8Array): string {
  return checkTarget(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("latin1"));
}

function payloadOf(block: Uint8Array): Uint8Array {
  const payload = decodeCbor(block);
  if (!(payload instanceof Uint8Array)) throw invalid("the block of a long value is not a single byte string");
  return payload;
}

function checkXattrName(name: string): void {
  if (name.length === 0 || name.length > MAX_NAME_BYTES || name.includes("\0")) {
    throw invalid("an extended attribute's name is empty, too long or contains a NUL");
  }
}

function checkTarget(target: string): string {
  if (target.length === 0 || target.length > MAX_SYMLINK_BYTES || target.includes("\0")) {
    throw invalid("a symlink's target is empty, too long or contains a NUL");
  }
  return target;
}

function invalid(what: string): SynclineError {
  return new SynclineError("format_invalid", `In a record, ${what}.`);
}
