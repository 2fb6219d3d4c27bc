/** Decorators of block readers: verify, retry, cache. */
import { describe, expect, test } from "vitest";
import { hasCode, SynclineError } from "../../../src/base/errors.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { BACKOFF_FIRST_MS, READ_ATTEMPTS } from "../../../src/base/limits.ts";
import type { Block, BlockReader } from "../../../src/blocks/block-store.ts";
import { CachedReader } from "../../../src/blocks/cached-reader.ts";
import { MemoryBlockStore } from "../../../src/blocks/memory-block-store.ts";
import { RetryReader } from "../../../src/blocks/retry-reader.ts";
import { VerifiedReader } from "../../../src/blocks/verified-reader.ts";
import { failure, rawBlock } from "../../contract/block-store.ts";
import { BlockMap } from "../../support/block-map.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";

const block = rawBlock(1_000);

describe("verified", () => {
  test("a block with one flipped bit is refused, alone or among others", async () => {
    const store = new MemoryBlockStore();
    const bytes = Uint8Array.from(block.bytes);
    bytes[500] = (bytes[500] ?? 0) ^ 1;
    store.put({ cid: block.cid, bytes });
    const reader = new VerifiedReader(store);
    expect(hasCode(await failure(reader.get(block.cid)), "block_corrupt")).toBe(true);
    expect(hasCode(await failure(reader.getMany([block.cid])), "block_corrupt")).toBe(true);
  });

  test("a block longer than we accept is refused although its hash matches", async () => {
    const store = new MemoryBlockStore();
    const large = rawBlock((4 << 20) + 1);
    store.put(large);
    expect(hasCode(await failure(new VerifiedReader(store).get(large.cid)), "block_corrupt")).toBe(true);
  });
});

describe("retry", () => {
  test("asks again with growing pauses while the store is unreachable", async () => {
    const clock = new ManualClock();
    const store = new Flaky(block, READ_ATTEMPTS - 1, "store_unreachable", () => clock.monotonicMs());
    const reader = new RetryReader(store, { clock, random: seededRandom(1) });
    const reading = reader.get(block.cid);
    await clock.advance(10_000);
    expect(await reading).toBe(block.bytes);
    const pauses = store.askedAt.slice(1).map((at, index) => at - (store.askedAt[index] ?? 0));
    expect(pauses).toHaveLength(READ_ATTEMPTS - 1);
    for (const [index, pause] of pauses.entries()) {
      const bound = BACKOFF_FIRST_MS * 2 ** index;
      expect(pause).toBeGreaterThanOrEqual(bound / 2);
      expect(pause).toBeLessThanOrEqual(bound);
    }
  });

  test("asks once more for a damaged block, which may be intact in the store", async () => {
    const once = new Flaky(block, 1, "block_corrupt", () => 0);
    const always = new Flaky(block, Infinity, "block_corrupt", () => 0);
    const readerOf = (store: Flaky) => new RetryReader(store, { clock: new ManualClock(), random: seededRandom(1) });
    expect(await readerOf(once).get(block.cid)).toBe(block.bytes);
    expect(hasCode(await failure(readerOf(always).get(block.cid)), "block_corrupt")).toBe(true);
    expect(always.askedAt).toHaveLength(2);
  });

  test("gives up in the end with the store's own error", async () => {
    const clock = new ManualClock();
    const store = new Flaky(block, Infinity, "store_unreachable", () => clock.monotonicMs());
    const reading = failure(new RetryReader(store, { clock, random: seededRandom(1) }).getMany([block.cid]));
    await clock.advance(10_000);
    expect(hasCode(await reading, "store_unreachable")).toBe(true);
    expect(store.askedAt).toHaveLength(READ_ATTEMPTS);
  });

  test("accepts that a block does not exist, and does not ask again", async () => {
    const clock = new ManualClock();
    const store = new Flaky(block, 1, "block_not_found", () => clock.monotonicMs());
    const reader = new RetryReader(store, { clock, random: seededRandom(1) });
    expect(hasCode(await failure(reader.get(block.cid)), "block_not_found")).toBe(true);
    expect(store.askedAt).toHaveLength(1);
  });
});

describe("cache", () => {
  test("only blocks missing from the cache are fetched, in one request, and then kept", async () => {
    const blocks = [rawBlock(1), rawBlock(2), rawBlock(3)];
    const store = new BlockMap();
    for (const each of blocks) store.put(each);
    const kept = new Map<Cid, Uint8Array>();
    const cache = {
      held: async (cids: readonly Cid[]) => new Map([...kept].filter(([cid]) => cids.includes(cid))),
      keep: (fresh: readonly Block[]) => fresh.forEach(({ cid, bytes }) => kept.set(cid, bytes)),
    };
    const reader = new CachedReader(cache, store);
    await reader.get(blocks[0]?.cid ?? block.cid);
    store.forgetCounts();
    const found = await reader.getMany(blocks.map(({ cid }) => cid));
    expect(found.size).toBe(3);
    expect(store.requests).toBe(1);
    expect(store.reads).toEqual(blocks.slice(1).map(({ cid }) => cid));
    await reader.getMany(blocks.map(({ cid }) => cid));
    expect(store.requests).toBe(1);
  });

  test("only blocks worth caching are kept", async () => {
    const blocks = [rawBlock(10), rawBlock(2_000)];
    const store = new BlockMap();
    for (const each of blocks) store.put(each);
    const kept: Cid[] = [];
    const cache = {
      held: async () => new Map<Cid, Uint8Array>(),
      keep: (fresh: readonly Block[]) => kept.push(...fresh.map(({ cid }) => cid)),
    };
    const reader = new CachedReader(cache, store, ({ bytes }) => bytes.length >= 1_000);
    expect((await reader.getMany(blocks.map(({ cid }) => cid))).size).toBe(2);
    expect(kept).toEqual([blocks[1]?.cid]);
  });
});

/** Fails the first requests, then answers. */
class Flaky implements BlockReader {
  readonly askedAt: number[] = [];
  readonly #block: Block;
  readonly #failures: number;
  readonly #code: "store_unreachable" | "block_not_found" | "block_corrupt";
  readonly #nowMs: () => number;

  constructor(
    held: Block,
    failures: number,
    code: "store_unreachable" | "block_not_found" | "block_corrupt",
    nowMs: () => number,
  ) {
    this.#block = held;
    this.#failures = failures;
    this.#code = code;
    this.#nowMs = nowMs;
  }

  async get(): Promise<Uint8Array> {
    this.askedAt.push(this.#nowMs());
    if (this.askedAt.length <= this.#failures) throw new SynclineError(this.#code, "It failed.");
    return this.#block.bytes;
  }

  async getMany(): Promise<Map<Cid, Uint8Array>> {
    return new Map([[this.#block.cid, await this.get()]]);
  }
}
