/**
 * Blocks that wait to be written. Blocks that arrive one by one in quick succession, as when a tree is read, are written
 * together, since a write costs more than its bytes. Until then they are read from here.
 */
import type { Clock } from "../base/clock.ts";
import type { Cid } from "../base/ids.ts";
import type { Block } from "./block-store.ts";

/** Blocks that are written together. */
interface Batch {
  readonly blocks: Map<Cid, Block>;
  /** Bytes as added, counting duplicates. */
  bytes: number;
  /** Aborted when it should be written without waiting for more. */
  readonly full: AbortController;
}

/** A caller waiting for room, with its blocks. */
interface Waiter {
  readonly blocks: readonly Block[];
  readonly most: number;
  readonly go: () => void;
}

export class Backlog {
  readonly #clock: Pick<Clock, "sleep" | "after"> | undefined;
  readonly #store: (blocks: readonly Block[]) => Promise<boolean>;
  readonly #blocks = new Map<Cid, Uint8Array>();
  #bytes = 0;
  /** The next batch to write; more blocks may join it until then. */
  #next: Batch | undefined;
  #storing: Promise<void> = Promise.resolve();
  /** In order of arrival. */
  #waiting: Waiter[] = [];
  /** The last batch was stored, and the current one is not late. */
  #isMoving = true;

  /** `store` never rejects; false: the blocks are not stored. Without a clock no batch waits for more. */
  constructor(
    clock: Pick<Clock, "sleep" | "after"> | undefined,
    store: (blocks: readonly Block[]) => Promise<boolean>,
  ) {
    this.#clock = clock;
    this.#store = store;
  }

  /** The bytes of a block that is waiting or being written. */
  get(cid: Cid): Uint8Array | undefined {
    return this.#blocks.get(cid);
  }

  /** Adds these blocks, or none of them if more than `most` bytes would then wait: false. */
  add(blocks: readonly Block[], most: number): boolean {
    const bytes = totalBytes(blocks);
    if (this.#bytes + bytes > most) return false;
    this.#bytes += bytes;
    const batch = this.#batch();
    for (const block of blocks) {
      batch.blocks.set(block.cid, block);
      this.#blocks.set(block.cid, block.bytes);
    }
    batch.bytes += bytes;
    if (batch.bytes >= GATHERED_BYTES) batch.full.abort();
    return true;
  }

  /**
   * As `add`, but queues for room; undefined: no need to wait. Blocks that can never fit are not taken, nor those that
   * arrive or wait while storing is stuck.
   */
  addInTurn(blocks: readonly Block[], most: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.add(blocks, most)) return undefined;
    if (!this.#isMoving || totalBytes(blocks) > most) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ blocks, most, go: resolve });
    // Nothing more can join before there is room.
    this.#next?.full.abort();
    return promise;
  }

  /** Releases all callers waiting for room; their blocks are not taken. */
  letGo(): void {
    for (const { go } of this.#waiting.splice(0)) go();
  }

  /** Has the next batch stored soon, even an empty one. */
  hurry(): void {
    this.#batch().full.abort();
  }

  /** Resolves when everything added so far is stored. */
  settled(): Promise<void> {
    this.#next?.full.abort();
    return this.#storing;
  }

  #batch(): Batch {
    if (this.#next === undefined) {
      const batch = { blocks: new Map<Cid, Block>(), bytes: 0, full: new AbortController() };
      this.#next = batch;
      const gathered = this.#clock?.sleep(GATHER_MS, batch.full.signal).catch(() => {});
      this.#storing = this.#storeAfter(Promise.all([this.#storing, gathered]), batch);
    }
    return this.#next;
  }

  async #storeAfter(before: Promise<unknown>, batch: Batch): Promise<void> {
    await before;
    if (this.#next === batch) this.#next = undefined;
    const late = this.#clock?.after(LATE_MS, () => this.#stuck());
    const isStored = await this.#store([...batch.blocks.values()]);
    late?.[Symbol.dispose]();
    this.#bytes -= batch.bytes;
    for (const { cid, bytes } of batch.blocks.values()) if (this.#blocks.get(cid) === bytes) this.#blocks.delete(cid);
    if (!isStored) return this.#stuck();
    this.#isMoving = true;
    this.#admit();
  }

  #admit(): void {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined) return;
      if (!this.add(first.blocks, first.most)) break;
      this.#waiting.shift();
      first.go();
    }
    // Nothing more can join before there is room.
    this.#next?.full.abort();
  }

  #stuck(): void {
    this.#isMoving = false;
    this.letGo();
  }
}

export function totalBytes(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** How long a batch waits for more blocks: they are usually needed again only later … */
const GATHER_MS = 10;
/** … and the size at which it stops waiting. */
const GATHERED_BYTES = 1024 * 1024;
/** Callers stop waiting if the disk takes longer than this for a batch, 16 MiB at most. */
const LATE_MS = 2_000;
