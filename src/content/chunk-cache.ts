/** A content source over blocks: what was read last, chunks and decoded list nodes, within a limit of bytes. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { decodeChunkList } from "../format/chunk-list.ts";
import type { ChunkList } from "../format/chunk-list.ts";
import { codecOf } from "../format/cid.ts";
import type { ContentSource } from "./source.ts";

export class ChunkCache implements ContentSource {
  readonly #blocks: BlockReader;
  readonly #capacityBytes: number;
  /** Least recently used first. */
  readonly #held = new Map<Cid, Held>();
  readonly #loading = new Map<Cid, Promise<void>>();
  #heldBytes = 0;
  #loads = 0;

  /**
   * `blocks` must verify what it reads. Whatever the capacity, what was used since the last call but one of `load` stays,
   * so that a reader that loads its nodes and then its chunks gets on.
   */
  constructor(blocks: BlockReader, options: { capacityBytes: number }) {
    this.#blocks = blocks;
    this.#capacityBytes = options.capacityBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  peekChunk(cid: Cid): Uint8Array | undefined {
    return this.#touch(cid)?.chunk;
  }

  peekList(cid: Cid): ChunkList | undefined {
    return this.#touch(cid)?.list;
  }

  async load(cids: readonly Cid[], needed = cids.length): Promise<void> {
    this.#loads += 1;
    const pending = this.#start(cids.slice(0, needed));
    // Reading ahead is best effort: whoever needs the block later asks for it again and learns what is wrong.
    for (const ahead of this.#start(cids.slice(needed))) ahead.catch(() => {});
    await Promise.all(pending);
  }

  /** Starts one request for what nobody has asked for yet; answers what to wait for. */
  #start(cids: readonly Cid[]): Promise<void>[] {
    const pending = new Set<Promise<void>>();
    const fresh: Cid[] = [];
    for (const cid of new Set(cids)) {
      const under = this.#loading.get(cid);
      if (under !== undefined) pending.add(under);
      else if (this.#touch(cid) === undefined) fresh.push(cid);
    }
    if (fresh.length > 0) {
      const request = this.#fetch(fresh);
      for (const cid of fresh) this.#loading.set(cid, request);
      pending.add(request);
    }
    return [...pending];
  }

  async #fetch(cids: readonly Cid[]): Promise<void> {
    try {
      const blocks = await this.#blocks.getMany(cids);
      for (const cid of cids) {
        const bytes = blocks.get(cid);
        if (bytes === undefined) throw new SynclineError("block_not_found", `Block ${cid} did not come along.`);
        this.#hold(cid, bytes);
      }
      this.#evict();
    } finally {
      for (const cid of cids) this.#loading.delete(cid);
    }
  }

  #hold(cid: Cid, bytes: Uint8Array): void {
    const isChunk = codecOf(cid) === "raw";
    const held: Held = isChunk
      ? { bytes: bytes.length + OVERHEAD_BYTES, used: this.#loads, chunk: bytes, list: undefined }
      : {
          bytes: bytes.length * DECODED_FACTOR + OVERHEAD_BYTES,
          used: this.#loads,
          chunk: undefined,
          list: decodeChunkList(bytes),
        };
    this.#heldBytes += held.bytes - (this.#held.get(cid)?.bytes ?? 0);
    this.#held.delete(cid);
    this.#held.set(cid, held);
  }

  #evict(): void {
    for (const [cid, { bytes, used }] of this.#held) {
      if (this.#heldBytes <= this.#capacityBytes || used >= this.#loads - 1) return;
      this.#held.delete(cid);
      this.#heldBytes -= bytes;
    }
  }

  #touch(cid: Cid): Held | undefined {
    const held = this.#held.get(cid);
    if (held === undefined) return undefined;
    held.used = this.#loads;
    this.#held.delete(cid);
    this.#held.set(cid, held);
    return held;
  }
}

interface Held {
  readonly bytes: number;
  /** The number of `load` calls when it was used last. */
  used: number;
  readonly chunk: Uint8Array | undefined;
  readonly list: ChunkList | undefined;
}

/** What an entry costs besides its bytes: map slot, key and objects. */
const OVERHEAD_BYTES = 300;
/** A decoded node with its links as text, against its encoded bytes. */
const DECODED_FACTOR = 4;
