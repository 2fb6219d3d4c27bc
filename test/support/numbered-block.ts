/** Blocks derived from a number, so that two processes know the same ones. */
import type { Block } from "../../src/blocks/block-store.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { noise } from "./bytes.ts";

export function numberedBlock(number: number): Block {
  const bytes = noise(number % 17 === 0 ? 40_000 : 200 + (number % 1_000), number + 1);
  return { cid: cidOf(number % 3 === 0 ? "dag-cbor" : "raw", bytes), bytes };
}
