/**
 * A row's field with the number of bytes outside holes in a chunk-list file, so that `stat` need not load the list.
 *
 * It names its list: versions of Syncline that do not know the field keep it when they change the content. A field about
 * another list is kept as an unknown field.
 */
import type { Cid } from "../../base/ids.ts";
import { digestOf } from "../blocks/cid.ts";
import { minimalUint, readUint } from "./fields.ts";

const NAME_BYTES = 8;

export function encodeDataBytes(list: Cid, dataBytes: number): Uint8Array {
  return Buffer.concat([digestOf(list).subarray(0, NAME_BYTES), minimalUint(dataBytes)]);
}

/** Undefined if the payload is about another list, or impossible for a file of `size` bytes. */
export function decodeDataBytes(payload: Uint8Array, list: Cid, size: number): number | undefined {
  const named = digestOf(list).subarray(0, NAME_BYTES);
  if (payload.length < NAME_BYTES || Buffer.compare(payload.subarray(0, NAME_BYTES), named) !== 0) return undefined;
  const dataBytes = payload.length === NAME_BYTES ? 0 : readUint(payload, NAME_BYTES, payload.length);
  return dataBytes < size ? dataBytes : undefined;
}
