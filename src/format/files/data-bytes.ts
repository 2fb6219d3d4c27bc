/**
 * The field of a row that says how many bytes of a file in a chunk list are not in holes, so that `stat` need not load the list.
 *
 * It names the list that it is about: a version of Syncline that does not know the field keeps it when it changes the content.
 * A field about another list is kept as a field of no known meaning.
 */
import type { Cid } from "../../base/ids.ts";
import { digestOf } from "../blocks/cid.ts";
import { minimalUint, readUint } from "./fields.ts";

const NAME_BYTES = 8;

export function encodeDataBytes(list: Cid, dataBytes: number): Uint8Array {
  return Buffer.concat([digestOf(list).subarray(0, NAME_BYTES), minimalUint(dataBytes)]);
}

/** Undefined when the payload is about another list, or cannot be true of a file of `size` bytes. */
export function decodeDataBytes(payload: Uint8Array, list: Cid, size: number): number | undefined {
  const named = digestOf(list).subarray(0, NAME_BYTES);
  if (payload.length < NAME_BYTES || Buffer.compare(payload.subarray(0, NAME_BYTES), named) !== 0) return undefined;
  const dataBytes = payload.length === NAME_BYTES ? 0 : readUint(payload, NAME_BYTES, payload.length);
  return dataBytes < size ? dataBytes : undefined;
}
