/**
 * Where contents are read from: decoded list nodes and chunks in memory, and a way to get more of them there.
 *
 * Reading is synchronous on what is in memory (`peek…`), since the kernel's reads are answered from there; whoever finds
 * something missing loads it in one batch and starts again.
 */
import type { Cid } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { ChunkList } from "../format/files/chunk-list.ts";

export interface ContentSource {
  /** A chunk's bytes; not to be changed. Undefined: not in memory. */
  peekChunk(cid: Cid): Uint8Array | undefined;
  /** A list node. Undefined: not in memory. Throws `format_invalid`. */
  peekList(cid: Cid): ChunkList | undefined;
  /**
   * Brings chunks and nodes into memory; the first `needed` of them are there when it answers, the others soon. Throws
   * `block_not_found`, `block_corrupt`, `store_unreachable`, `format_invalid` for a node that is no list node.
   */
  load(cids: readonly Cid[], needed?: number): Promise<void>;
}

/** Calls `read` until nothing that it needs is missing. */
export async function loading<T>(source: ContentSource, read: () => T): Promise<T> {
  for (;;) {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      await source.load(error.cids, error.needed);
    }
  }
}

export async function loadList(source: ContentSource, cid: Cid): Promise<ChunkList> {
  return loading(source, () => {
    const list = source.peekList(cid);
    if (list === undefined) throw new BlockMiss([cid]);
    return list;
  });
}

export async function loadChunk(source: ContentSource, cid: Cid): Promise<Uint8Array> {
  return loading(source, () => {
    const chunk = source.peekChunk(cid);
    if (chunk === undefined) throw new BlockMiss([cid]);
    return chunk;
  });
}
