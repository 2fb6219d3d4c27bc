/** CARs as clients send them, whatever is in them. */
import type { Block } from "../../src/blocks/block-store.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../src/format/blocks/car.ts";

/** The bytes need not be what the CID addresses. */
export function carOf(...blocks: readonly Block[]): Buffer {
  const sections = blocks.flatMap(({ cid, bytes }) => [encodeCarBlockHead(cid, bytes.length), bytes]);
  return Buffer.concat([encodeCarHeader(), ...sections]);
}
