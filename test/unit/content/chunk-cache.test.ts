/** What reading all of a large file costs in requests and memory, through a cache that owns its blocks. */
import { expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { ChunkCache } from "../../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../../src/content/config.ts";
import { streamParts } from "../../../src/content/read.ts";
import { writeBytes } from "../../../src/content/write.ts";
import { cidOf, codecOf } from "../../../src/format/blocks/cid.ts";
import { BlockMap } from "../../support/block-map.ts";
import { noise } from "../../support/bytes.ts";

const MiB = 1024 * 1024;
const AHEAD = 12 * MiB;

/** Hands over each block in memory of its own, as stores do. */
class HandingOver extends BlockMap {
  readonly given: { readonly cid: Cid; readonly bytes: Uint8Array; readonly length: number }[] = [];

  override async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = await super.getMany(cids);
    for (const [cid, bytes] of found) found.set(cid, Uint8Array.from(bytes));
    for (const [cid, bytes] of found) this.given.push({ cid, bytes, length: bytes.length });
    return found;
  }

  /** Chunks whose memory is still in use. */
  get chunkBytes(): number {
    const chunks = this.given.filter(({ cid }) => codecOf(cid) === "raw");
    return chunks.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }
}

const FILE = noise(64 * MiB);

async function world() {
  const blocks = new HandingOver();
  const content = await writeBytes(blocks, createContentConfig(), FILE);
  const source = new ChunkCache(blocks, { capacityBytes: 2 * AHEAD, isOwner: true });
  const read = () => streamParts(source, content, FILE.length, 0, FILE.length, AHEAD);
  return { blocks, source, read };
}

function expectAt(at: number, parts: readonly Uint8Array[]): number {
  const piece = Buffer.concat(parts);
  expect(piece.length).toBeGreaterThan(0);
  expect(piece.equals(FILE.subarray(at, at + piece.length))).toBe(true);
  return at + piece.length;
}

test("each block is fetched once, and each request is for half a window of content", async () => {
  const { blocks, read } = await world();
  let requests = 0;
  const count = (cids: readonly Cid[]) => (requests += cids.some((cid) => codecOf(cid) === "raw") ? 1 : 0);
  const getMany = blocks.getMany.bind(blocks);
  blocks.getMany = (cids) => (count(cids), getMany(cids));
  let at = 0;
  for await (const parts of read()) at = expectAt(at, parts);
  expect(at).toBe(FILE.length);
  expect(new Set(blocks.reads).size).toBe(blocks.reads.length);
  // The first step, its window, and a last piece.
  expect(requests).toBeLessThanOrEqual(FILE.length / (AHEAD / 2) + 3);
});

test("chunks are freed after they are read: two windows of memory are enough", async () => {
  const { blocks, read } = await world();
  const used: number[] = [];
  for await (const parts of read()) used.push(blocks.chunkBytes, ...parts.map(() => 0));
  expect(Math.max(...used)).toBeLessThan(3 * AHEAD);
});

test("a chunk that a slow reader still uses is not freed while another reads on", async () => {
  const { read } = await world();
  const slow = read();
  const { value: first = [] } = await slow.next();
  let at = 0;
  for await (const parts of read()) at = expectAt(at, parts);
  let rest = expectAt(0, first);
  for await (const parts of slow) rest = expectAt(rest, parts);
  expect([at, rest]).toEqual([FILE.length, FILE.length]);
});

test("a chunk that two readers use is freed after both", async () => {
  const blocks = new HandingOver();
  const bytes = FILE.slice(0, 16_000);
  const cid = cidOf("raw", bytes);
  blocks.put({ cid, bytes });
  const source = new ChunkCache(blocks, { capacityBytes: MiB, isOwner: true });
  await source.load([cid]);
  const parts = [source.peekChunk(cid)?.subarray(10) ?? new Uint8Array()];
  const [one, other] = [source.lend(parts), source.lend(parts)];
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  source.drop([cid]);
  expect(parts[0]).toHaveLength(15_990);
  other[Symbol.dispose]();
  await source.load([cid]);
  source.drop([cid]);
  expect(blocks.given.map(({ bytes }) => bytes.length)).toEqual([16_000, 0]);
});
