/** CARs as clients send them, with any contents. */
import type { Block } from "../../src/blocks/block-store.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../src/format/blocks/car.ts";

/** Bytes need not match their CID. */
export function carOf(...blocks: readonly Block[]): Buffer {
  const sections = blocks.flatMap(({ cid, bytes }) => [encodeCarBlockHead(cid, bytes.length), bytes]);
  return Buffer.concat([encodeCarHeader(), ...sections]);
}
