/** A chunk list of a few small blocks: each has the one below as often as it can, so nobody can visit all of its parts. */
import { blockOf } from "../../src/blocks/block-codec.ts";
import type { BlockSink } from "../../src/blocks/block-store.ts";
import { MAX_LIST_ENTRIES } from "../../src/base/limits.ts";
import { encodeChunkList } from "../../src/format/files/chunk-list.ts";
import type { ListEntry } from "../../src/format/files/chunk-list.ts";

/** Puts the blocks, and returns the entry for the uppermost node. */
export async function putRepeatingList(sink: BlockSink, chunk: Uint8Array, levels: number): Promise<ListEntry> {
  const block = blockOf("raw", chunk);
  await sink.put(block);
  let entry: ListEntry = { cid: block.cid, length: chunk.length, dataLength: chunk.length };
  for (let level = 0; level < levels; level++) {
    const below = entry;
    const entries = Array.from({ length: MAX_LIST_ENTRIES }, () => below);
    entry = await putNode(sink, level, entries);
  }
  return entry;
}

/** Puts a node, and returns the entry for it. */
export async function putNode(sink: BlockSink, level: number, entries: readonly ListEntry[]): Promise<ListEntry> {
  const block = blockOf("dag-cbor", encodeChunkList(level, entries));
  await sink.put(block);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const length = sum(entries.map((entry) => entry.length));
  return { cid: block.cid, length, dataLength: sum(entries.map((entry) => entry.dataLength)) };
}
