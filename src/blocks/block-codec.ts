/**
 * Makes blocks out of bytes. Every block that is not signed gets its address here and nowhere else, so this is the one place
 * to change how blocks are stored. Genesis, certificates and commits get theirs in format/commits.
 */
import type { Cid } from "../base/ids.ts";
import { cidOf, type Codec } from "../format/blocks/cid.ts";
import type { Block, BlockSink } from "./block-store.ts";

export function blockOf(codec: Codec, bytes: Uint8Array): Block {
  return { cid: addressOf(codec, bytes), bytes };
}

/** The address of these bytes as a block, whether it is stored or not. */
export function addressOf(codec: Codec, bytes: Uint8Array): Cid {
  return cidOf(codec, bytes);
}

/** As `addressOf`, of a node: for encoders that link long values, where none is to be stored. */
export function nodeAddress(bytes: Uint8Array): Cid {
  return addressOf("dag-cbor", bytes);
}

/**
 * Puts bytes into a sink as nodes, and returns their addresses. For sinks that take a block before they return, as staging
 * does; `taken` gets what other sinks return.
 */
export function nodesInto(
  sink: BlockSink,
  taken: (put: void | Promise<void>) => void = () => {},
): (bytes: Uint8Array) => Cid {
  return (bytes) => {
    const block = blockOf("dag-cbor", bytes);
    taken(sink.put(block));
    return block.cid;
  };
}
