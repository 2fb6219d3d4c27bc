/**
 * Blocks that the synchronous calls read, in three caches: tree nodes, contents, and long values of records. It remembers
 * which cache a miss came from, since an address alone does not tell a block's kind.
 */
import type { Clock } from "../base/clock.ts";
import { BoundedMap } from "../base/bounded-map.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { BlockMiss, type BlockReader, type SizedBlock } from "../blocks/block-store.ts";
import { isGone } from "../blocks/not-found.ts";
import { ChunkCache } from "../content/chunk-cache.ts";
import { codecOf } from "../format/blocks/cid.ts";
import { NodeStore } from "../tree/node-store.ts";

export interface LoaderOptions {
  readonly blocks: BlockReader;
  readonly clock: Clock;
  readonly nodeBytes: number;
  readonly contentBytes: number;
  readonly timeoutMs: number;
}

const LINKED_VALUES = 256;
/** Far more than may wait at once. */
const MISSES = 16_384;
/** The kernel asks for the pages of a failed read a second time, at once. */
const REPEATED_MS = 1_000;
/** Some 4 MiB of a large file. */
const AHEAD_BLOCKS = 16;

export class Loader {
  readonly nodes: NodeStore;
  readonly content: ChunkCache;
  readonly #blocks: BlockReader;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #linked = new BoundedMap<Cid, Uint8Array>(LINKED_VALUES);
  /** Whether blocks are fetched before a program asks for them. */
  fetchesAhead = true;
  /** What to fetch ahead for the call under way, in parts that are fetched together. */
  #ahead: (readonly Cid[])[] = [];
  /** The kinds of blocks that were missed and not fetched yet. Raw blocks are left out: they are all content. */
  readonly #kinds = new BoundedMap<Cid, "content" | "linked">(MISSES);

  /** When the bucket did not answer for a block in time. */
  readonly #timedOut = new BoundedMap<Cid, number>(MISSES);

  constructor({ blocks, clock, nodeBytes, contentBytes, timeoutMs }: LoaderOptions) {
    this.#blocks = blocks;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.nodes = new NodeStore(blocks, { capacityBytes: nodeBytes });
    this.content = new ChunkCache(blocks, { capacityBytes: contentBytes });
  }

  /** The block of a long value. Throws BlockMiss. */
  readonly peekLinked = (cid: Cid): Uint8Array => {
    const bytes = this.#linked.get(cid);
    if (bytes !== undefined) return bytes;
    this.#missed(cid, "linked");
    throw new BlockMiss([cid]);
  };

  /**
   * Runs a reader of contents. Its misses are recorded as content: blocks that it only wants read ahead are fetched at
   * once, and blocks that it needs are left to `load`.
   */
  readContent<Result>(read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      const needed = error.cids.slice(0, error.needed);
      for (const cid of needed) this.#missed(cid, "content");
      this.readAhead(error.cids.slice(error.needed));
      throw new BlockMiss(needed);
    }
  }

  /**
   * Once the call under way has ended, fetches contents that will be needed soon. Each request has at most `together` blocks,
   * so that the first ones can be read before the last have arrived.
   */
  readAhead(cids: readonly Cid[], together = AHEAD_BLOCKS): void {
    if (!this.fetchesAhead || cids.length === 0) return;
    if (this.#ahead.length === 0) queueMicrotask(() => this.#fetchAhead());
    for (let at = 0; at < cids.length; at += together) this.#ahead.push(cids.slice(at, at + together));
  }

  /** Whether the call under way wants blocks fetched ahead. */
  get readsAhead(): boolean {
    return this.#ahead.length > 0;
  }

  /** Drops the read-ahead of the call under way. */
  dropAhead(): void {
    this.#ahead = [];
  }

  #fetchAhead(): void {
    const parts = this.#ahead;
    this.#ahead = [];
    // Best effort: a later read of a missing block requests it again, and gets the error.
    for (const cids of parts) void this.content.load(cids, 0).catch(() => {});
  }

  /** As `BlockReader.readInto`. */
  async readInto(blocks: readonly SizedBlock[], target: Uint8Array): Promise<number> {
    return (await this.#blocks.readInto?.(blocks, target)) ?? 0;
  }

  /**
   * Fetches blocks. Rejects with `read_timeout`, `block_corrupt`, `block_not_found`, the signal's reason. What just timed out
   * rejects at once.
   */
  async load(cids: readonly Cid[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const sinceMs = this.#clock.monotonicMs() - REPEATED_MS;
    if (cids.some((cid) => (this.#timedOut.get(cid) ?? -Infinity) > sinceMs)) throw timedOut(this.#timeoutMs);
    try {
      await this.inTime(this.#fetchPatiently(cids), signal);
    } catch (error) {
      if (hasCode(error, "read_timeout")) for (const cid of cids) this.#timedOut.set(cid, this.#clock.monotonicMs());
      throw error;
    }
  }

  /** Waits for a read. Rejects with `read_timeout`, with the signal's reason, or as the read does. */
  async inTime(work: Promise<void>, signal?: AbortSignal): Promise<void> {
    let timer: Disposable | undefined;
    let onAbort: (() => void) | undefined;
    const givenUp = new Promise<never>((_, reject) => {
      timer = this.#clock.after(this.#timeoutMs, () => reject(timedOut(this.#timeoutMs)));
      onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
    try {
      await Promise.race([work, givenUp]);
    } finally {
      timer?.[Symbol.dispose]();
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
      // After this is abandoned, it may still fail later.
      work.catch(() => {});
    }
  }

  /** Joins fetches of other calls, which may time out early, or fail for another block; if so, tries once more. */
  async #fetchPatiently(cids: readonly Cid[]): Promise<void> {
    try {
      await this.#fetch(cids);
    } catch (error) {
      if (!hasCode(error, "store_unreachable") && !isGone(error)) throw error;
      await this.#fetch(cids);
    }
  }

  async #fetch(cids: readonly Cid[]): Promise<void> {
    const nodes: Cid[] = [];
    const contents: Cid[] = [];
    const linked: Cid[] = [];
    for (const cid of cids) {
      const kind = codecOf(cid) === "raw" ? "content" : this.#kinds.get(cid);
      (kind === "content" ? contents : kind === "linked" ? linked : nodes).push(cid);
    }
    await Promise.all([
      nodes.length > 0 ? this.nodes.load(nodes) : undefined,
      contents.length > 0 ? this.content.load(contents) : undefined,
      linked.length > 0 ? this.#fetchLinked(linked) : undefined,
    ]);
    for (const cid of cids) this.#kinds.delete(cid);
  }

  #missed(cid: Cid, kind: "content" | "linked"): void {
    if (codecOf(cid) !== "raw") this.#kinds.set(cid, kind);
  }

  async #fetchLinked(cids: readonly Cid[]): Promise<void> {
    for (const [cid, bytes] of await this.#blocks.getMany(cids)) this.#linked.set(cid, bytes);
  }
}

function timedOut(ms: number): SynclineError {
  return new SynclineError("read_timeout", `The bucket did not answer a read within ${Math.round(ms / 1000)} s.`, {
    hint: "Check the network and the bucket's storage, then retry the read.",
  });
}
