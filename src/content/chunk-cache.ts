/** A content source over blocks: keeps recently used chunks and decoded list nodes, within a byte limit. */
import { SynclineError } from "../base/errors.ts";
import { freeBytes } from "../base/bytes.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockReader, SizedBlock } from "../blocks/block-store.ts";
import { type ChunkList, decodeChunkList } from "../format/files/chunk-list.ts";
import { codecOf } from "../format/blocks/cid.ts";
import type { ContentSource } from "./source.ts";

export class ChunkCache implements ContentSource {
  readonly #blocks: BlockReader;
  readonly #capacityBytes: number;
  readonly #isOwner: boolean;
  readonly #held = new Map<Cid, Held>();
  readonly #loading = new Map<Cid, Promise<void>>();
  /** How many readers use the memory of a chunk. */
  readonly #lent = new Map<ArrayBufferLike, number>();
  #heldBytes = 0;
  /** Bytes of blocks that were read ahead and wait for their reader. */
  #aheadBytes = 0;
  /** Counts uses: a later use has a greater number. */
  #uses = 0;
  /** The value of `#uses` at the last call of `load`, and at the one before. */
  #lastLoads: readonly [number, number] = [0, 0];

  /**
   * `blocks` must verify what it reads. Whatever the capacity, entries used since the last call but one of `load` stay, so
   * that a reader that loads its nodes and then its chunks makes progress. `isOwner`: nothing else keeps a reference to a chunk,
   * except for parts that are lent. The memory of a dropped chunk is then freed at once.
   */
  constructor(blocks: BlockReader, options: { capacityBytes: number; isOwner?: boolean }) {
    this.#blocks = blocks;
    this.#capacityBytes = options.capacityBytes;
    this.#isOwner = options.isOwner ?? false;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  peekChunk(cid: Cid): Uint8Array | undefined {
    return this.#touch(cid)?.chunk;
  }

  isAtHand(cid: Cid): boolean {
    return this.#held.get(cid)?.chunk !== undefined || (this.#blocks.isAtHand?.(cid) ?? false);
  }

  readPart(chunk: SizedBlock, offset: number, target: Uint8Array): boolean {
    return this.#blocks.readPart?.(chunk, offset, target) ?? false;
  }

  lend(parts: readonly Uint8Array[]): Disposable {
    const buffers = parts.map(({ buffer }) => buffer);
    for (const buffer of buffers) this.#lent.set(buffer, (this.#lent.get(buffer) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        for (const buffer of buffers.splice(0)) {
          const others = (this.#lent.get(buffer) ?? 0) - 1;
          if (others > 0) this.#lent.set(buffer, others);
          else this.#lent.delete(buffer);
        }
      },
    };
  }

  peekList(cid: Cid): ChunkList | undefined {
    return this.#touch(cid)?.list;
  }

  isLoading(cid: Cid): boolean {
    return this.#loading.has(cid);
  }

  async load(cids: readonly Cid[], needed = cids.length): Promise<void> {
    this.#lastLoads = [this.#uses, this.#lastLoads[0]];
    const pending = this.#start(cids.slice(0, needed), false);
    // Read-ahead is best effort: a later reader of the block requests it again and gets the error.
    for (const ahead of this.#start(cids.slice(needed), true)) ahead.catch(() => {});
    await Promise.all(pending);
  }

  /** Drops blocks. */
  drop(cids: readonly Cid[]): void {
    for (const cid of cids) {
      const held = this.#held.get(cid);
      if (held === undefined) continue;
      if (held.isAhead) this.#read(held);
      this.#heldBytes -= held.bytes;
      this.#held.delete(cid);
      const { chunk } = held;
      if (this.#isOwner && chunk !== undefined && !this.#lent.has(chunk.buffer)) freeBytes(chunk);
    }
  }

  /** Starts one request for blocks not requested yet; returns the promises to await. */
  #start(cids: readonly Cid[], isAhead: boolean): Promise<void>[] {
    const pending = new Set<Promise<void>>();
    const fresh: Cid[] = [];
    for (const cid of new Set(cids)) {
      const under = this.#loading.get(cid);
      if (under !== undefined) pending.add(under);
      else if (this.#touch(cid) === undefined) fresh.push(cid);
    }
    if (fresh.length > 0) {
      const request = this.#fetch(fresh, isAhead);
      for (const cid of fresh) this.#loading.set(cid, request);
      pending.add(request);
    }
    return [...pending];
  }

  async #fetch(cids: readonly Cid[], isAhead: boolean): Promise<void> {
    try {
      const blocks = await this.#blocks.getMany(cids);
      for (const cid of cids) {
        const bytes = blocks.get(cid);
        if (bytes === undefined) throw new SynclineError("block_not_found", `Block ${cid} was not returned.`);
        this.#hold(cid, bytes, isAhead);
      }
      this.#evict();
    } finally {
      for (const cid of cids) this.#loading.delete(cid);
    }
  }

  #hold(cid: Cid, bytes: Uint8Array, isAhead: boolean): void {
    const isChunk = codecOf(cid) === "raw";
    this.drop([cid]);
    const held: Held = {
      bytes: OVERHEAD_BYTES + bytes.length * (isChunk ? 1 : DECODED_FACTOR),
      used: ++this.#uses,
      isAhead,
      chunk: isChunk ? bytes : undefined,
      list: isChunk ? undefined : decodeChunkList(bytes),
    };
    this.#heldBytes += held.bytes;
    if (isAhead) this.#aheadBytes += held.bytes;
    this.#held.set(cid, held);
  }

  /** Frees some room at a time, so that a use costs one number and no ordered list. */
  #evict(): void {
    if (this.#heldBytes <= this.#capacityBytes) return;
    const inOrder = [...this.#held].toSorted(([, a], [, b]) => a.used - b.used);
    for (const [cid, held] of inOrder) {
      if (this.#heldBytes <= this.#capacityBytes * KEPT_PART || held.used > this.#lastLoads[1]) return;
      if (held.isAhead && this.#uses - held.used > AHEAD_USES) this.#read(held);
      if (!held.isAhead || this.#aheadBytes > this.#capacityBytes * AHEAD_PART) this.drop([cid]);
    }
  }

  #touch(cid: Cid): Held | undefined {
    const held = this.#held.get(cid);
    if (held === undefined) return undefined;
    held.used = ++this.#uses;
    if (held.isAhead) this.#read(held);
    return held;
  }

  /** The block waits for its reader no longer. */
  #read(held: Held): void {
    held.isAhead = false;
    this.#aheadBytes -= held.bytes;
  }
}

interface Held {
  readonly bytes: number;
  /** The number of its last use, or of its arrival. */
  used: number;
  /** It was read ahead, and waits for its reader. */
  isAhead: boolean;
  readonly chunk: Uint8Array | undefined;
  readonly list: ChunkList | undefined;
}

/** Overhead of an entry: map slot, key and objects. */
const OVERHEAD_BYTES = 300;
/** Memory of a decoded node with its links as text, relative to its encoded bytes. */
const DECODED_FACTOR = 4;
/** Blocks that were read ahead keep up to this part of the capacity … */
const AHEAD_PART = 1 / 2;
/** … until there were this many uses of other blocks. */
const AHEAD_USES = 4_096;
/** The part that stays when room is made. */
const KEPT_PART = 7 / 8;
