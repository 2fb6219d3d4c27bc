/**
 * A source of contents: decoded list nodes and chunks in memory, and a way to load more.
 *
 * Reading is synchronous on data in memory (`peek…`), since that is how the kernel's reads are answered; a caller that
 * finds blocks missing loads them in one batch and starts again.
 */
import type { Cid } from "../base/ids.ts";
import { BlockMiss, type SizedBlock } from "../blocks/block-store.ts";
import type { ChunkList } from "../format/files/chunk-list.ts";

export interface ContentSource {
  /** A chunk's bytes, read-only. Undefined: not in memory. */
  peekChunk(cid: Cid): Uint8Array | undefined;
  /** Whether a chunk is in memory, or `readPart` probably can copy from it. Does not count as a use. */
  isAtHand(cid: Cid): boolean;
  /** As `BlockReader.readPart`, for chunks that `peekChunk` does not have. */
  readPart(chunk: SizedBlock, offset: number, target: Uint8Array): boolean;
  /** Keeps the memory of these parts of chunks until the reader is done with them. Absent: none is ever freed. */
  lend?(parts: readonly Uint8Array[]): Disposable;
  /** A list node. Undefined: not in memory. Throws `format_invalid`. */
  peekList(cid: Cid): ChunkList | undefined;
  /**
   * Loads chunks and nodes; the first `needed` of them are in memory when it resolves, the others soon. Throws
   * `block_not_found`, `block_corrupt`, `store_unreachable`, `format_invalid` for an invalid list node.
   */
  load(cids: readonly Cid[], needed?: number): Promise<void>;
}

/** Calls `read` and loads missing blocks until none is missing. */
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
