/** Contents at their real sizes: what they are made of, and what edits of large files cost. */
import { describe, expect, test } from "vitest";
import { hasCode } from "../../../../../src/base/errors.ts";
import { MAX_BLOCK_MADE } from "../../../../../src/base/limits.ts";
import { BlockMiss } from "../../../../../src/blocks/block-store.ts";
import type { Block } from "../../../../../src/blocks/block-store.ts";
import { ChunkCache } from "../../../../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../../../../src/content/config.ts";
import { editContent } from "../../../../../src/content/edit.ts";
import { peekContent, readContent, streamContent, streamParts } from "../../../../../src/content/read.ts";
import { peekDataBytes, seekContent } from "../../../../../src/content/seek.ts";
import { walkContent } from "../../../../../src/content/walk.ts";
import type { ReadData } from "../../../../../src/content/segment.ts";
import { writeBytes, writeContent } from "../../../../../src/content/write.ts";
import { cidOf, codecOf } from "../../../../../src/format/blocks/cid.ts";
import type { Content } from "../../../../../src/format/files/record.ts";
import { failure } from "../../../../contract/block-store.ts";
import { BlockMap } from "../../../../support/block-map.ts";
import { noise } from "../../../../support/bytes.ts";
import { EditedFile } from "../../../../support/edited-file.ts";
import { putRepeatingList } from "../../../../support/repeating-list.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const TiB = 1024 * GiB;
const config = createContentConfig();

test.each([
  ["in one piece gets no buffer to read into", 512 * KiB, [undefined]],
  ["in several pieces alternates between two buffers", 2 * MiB, [0, 1, 0, 1]],
])("a file that is read %s", async (_, size, expected) => {
  const targets: (Uint8Array | undefined)[] = [];
  const bytes = noise(size);
  const read: ReadData = async (_epoch, offset, length, target) => {
    targets.push(target);
    target?.set(bytes.subarray(offset, offset + length));
    return target?.subarray(0, length) ?? bytes.subarray(offset, offset + length);
  };
  const segments = [{ offset: 0, length: size, from: "data" as const, epoch: 1 }];
  const source = new ChunkCache(new BlockMap(), { capacityBytes: 0 });
  const blocks = new BlockMap();
  const content = await editContent(source, blocks, config, { kind: "empty" }, 0, segments, size, read);
  expect(content).toEqual(await writeBytes(new BlockMap(), config, bytes));
  const memory = [...new Set(targets)];
  expect(targets.map((target) => target && memory.indexOf(target))).toEqual(expected);
});

describe("content", () => {
  test("is empty, inline up to 512 bytes, one chunk, then a list", async () => {
    const kinds = [0, 1, 512, 513, 16 * KiB, 300 * KiB].map(async (size) => {
      return (await writeBytes(new BlockMap(), config, noise(size))).kind;
    });
    expect(await Promise.all(kinds)).toEqual(["empty", "inline", "inline", "chunk", "chunk", "list"]);
  });

  test("chunks are 64 KiB on average, 256 KiB above 64 MiB, and never longer than a block may be", async () => {
    const bytes = noise(64 * MiB + 1);
    const small = await chunkLengths(bytes.subarray(0, 64 * MiB));
    const large = await chunkLengths(bytes);
    expect(mean(small) / (64 * KiB)).toBeCloseTo(1, 1);
    expect(mean(large) / (256 * KiB)).toBeCloseTo(1, 1);
    expect(Math.max(...large)).toBeLessThanOrEqual(MAX_BLOCK_MADE);
    expect(Math.min(...large.slice(0, -1))).toBeGreaterThan(64 * KiB);
  });

  test("a sparse file of a tebibyte stores only its data, and its end and holes are found at once", async () => {
    const blocks = new BlockMap();
    const stretches = [TiB / 2, noise(1 * MiB), TiB / 2 - MiB];
    const content = await writeContent(blocks, config, { size: TiB, stretches });
    const source = new ChunkCache(blocks, { capacityBytes: 64 * MiB });
    const seek = (offset: number, whence: "data" | "hole") => seekContent(source, content, TiB, offset, whence);
    expect(await seek(0, "data")).toBe(TiB / 2);
    expect(await seek(0, "hole")).toBe(0);
    expect(await seek(TiB / 2 + 5, "hole")).toBe(TiB / 2 + MiB);
    expect(await seek(TiB / 2 + MiB, "data")).toBeUndefined();
    expect(await seek(TiB, "hole")).toBeUndefined();
    expect(peekDataBytes(source, content, TiB)).toBe(MiB);
    expect(blocks.putBytes).toBeLessThan(MiB + 2 * KiB);
  });

  test("bytes past the content are zeros, and content longer than its file is refused", async () => {
    const blocks = new BlockMap();
    const bytes = noise(300 * KiB);
    const source = new ChunkCache(blocks, { capacityBytes: 4 * MiB });
    const contents: [Content, number][] = [
      [{ kind: "empty" }, 0],
      [{ kind: "inline", bytes: bytes.subarray(0, 100) }, 100],
      [await writeBytes(blocks, config, bytes.subarray(0, 16 * KiB)), 16 * KiB],
      [await writeBytes(blocks, config, bytes), 300 * KiB],
    ];
    for (const [content, length] of contents) {
      const read = await readContent(source, content, length + 10, 0, length + 20);
      expect(Buffer.from(read)).toEqual(Buffer.concat([bytes.subarray(0, length), new Uint8Array(10)]));
      if (length === 0) continue;
      const refused = await failure(readContent(source, content, length - 1, 0, 10));
      expect(hasCode(refused, "format_invalid")).toBe(true);
    }
  });
});

test("an edit pads content shorter than its file with zeros; longer content is refused", async () => {
  const blocks = new BlockMap();
  const bytes = noise(300 * KiB);
  const content = await writeBytes(blocks, config, bytes);
  const source = new ChunkCache(blocks, { capacityBytes: 4 * MiB });
  const file = new EditedFile(Buffer.concat([bytes, new Uint8Array(200 * KiB)])).write(7, Uint8Array.of(1));
  const edit = (baseSize: number) => {
    return editContent(source, blocks, config, content, baseSize, file.segments(), file.bytes.length, file.readData);
  };
  expect(await edit(500 * KiB)).toEqual(await writeBytes(new BlockMap(), config, file.bytes));
  expect(hasCode(await failure(edit(299 * KiB)), "format_invalid")).toBe(true);
});

test.each([10, 300])(
  "a source that yields more than its declared %i KiB fails early, without being read to its end",
  async (size) => {
    let asked = 0;
    function* endless() {
      for (; ; asked++) yield noise(64 * KiB, asked + 1);
    }
    const refused = await failure(writeContent(new BlockMap(), config, { size: size * KiB, stretches: endless() }));
    expect(hasCode(refused, "internal")).toBe(true);
    expect(asked).toBeLessThan(6);
  },
);

test("a data file that is truncated is an error, not zeros", async () => {
  const source = new ChunkCache(new BlockMap(), { capacityBytes: 4 * MiB });
  const segments = [{ offset: 0, length: MiB, from: "data" as const, epoch: 3 }];
  const short = async () => new Uint8Array(1_000);
  const refused = await failure(
    editContent(source, new BlockMap(), config, { kind: "empty" }, 0, segments, MiB, short),
  );
  expect(hasCode(refused, "state_corrupt")).toBe(true);
});

describe("reading", () => {
  test("a miss lists the blocks that the range needs, then those to read ahead", async () => {
    const { blocks, content, bytes } = await largeFile();
    const source = new ChunkCache(blocks, { capacityBytes: 64 * MiB });
    const target = new Uint8Array(128 * KiB);
    const misses: BlockMiss[] = [];
    for (let read = -1; read < 0;) {
      try {
        read = peekContent(source, content, bytes.length, 20 * MiB, target.length, target, 4 * MiB);
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        misses.push(error);
        await source.load(error.cids);
      }
    }
    expect(Buffer.from(target).equals(bytes.subarray(20 * MiB, 20 * MiB + target.length))).toBe(true);
    const chunks = misses.at(-1);
    expect(misses.length).toBeLessThanOrEqual(4);
    expect(chunks?.needed).toBeLessThanOrEqual(2);
    expect(chunks?.cids.length).toBeGreaterThan(10);
    blocks.forgetCounts();
    peekContent(source, content, bytes.length, 20 * MiB, 4 * MiB, new Uint8Array(4 * MiB));
    expect(blocks.requests).toBe(0);
  });

  test("a read asks for a missing chunk once, however often the file has it", async () => {
    const blocks = new BlockMap();
    const { cid, length } = await putRepeatingList(blocks, Uint8Array.of(1), 2);
    const source = new ChunkCache(blocks, { capacityBytes: MiB });
    if (cid === undefined) throw new Error("expected a node");
    const target = new Uint8Array(MiB);
    await source.load([...blocks.held.keys()].filter((each) => codecOf(each) === "dag-cbor"));
    const read = () => peekContent(source, { kind: "list", cid }, length, 0, 100_000, target, MiB);
    expect(read).toThrow(expect.objectContaining({ cids: [cidOf("raw", Uint8Array.of(1))], needed: 1 }));
  });

  test("many concurrent readers of one chunk fetch it once", async () => {
    const { blocks, content, bytes } = await largeFile();
    const source = new ChunkCache(blocks, { capacityBytes: 64 * MiB });
    const reads = Array.from({ length: 20 }, () => readContent(source, content, bytes.length, 5 * MiB, 1_000));
    await Promise.all(reads);
    expect(new Set(blocks.reads).size).toBe(blocks.reads.length);
  });

  test("a file streams through a smaller cache, each block fetched once", async () => {
    const { blocks, content, bytes } = await largeFile();
    const source = new ChunkCache(blocks, { capacityBytes: 24 * MiB });
    let at = 0;
    for await (const piece of streamContent(source, content, bytes.length)) {
      if (!Buffer.from(piece).equals(bytes.subarray(at, at + piece.length))) break;
      at += piece.length;
      expect(source.heldBytes).toBeLessThan(40 * MiB);
    }
    expect(at).toBe(bytes.length);
    expect(new Set(blocks.reads).size).toBe(blocks.reads.length);
    expect(blocks.requests).toBeLessThan(60);
  });
});

test("a reader that wants all of a file gets it in parts, without copies, each block fetched once, with few requests", async () => {
  const { blocks, content, bytes } = await largeFile();
  const source = new ChunkCache(blocks, { capacityBytes: 16 * MiB });
  const held = new Set([...blocks.held.values()].map(({ buffer }) => buffer));
  let at = 0;
  for await (const parts of streamParts(source, content, bytes.length)) {
    expect(parts.every(({ buffer }) => held.has(buffer))).toBe(true);
    const piece = Buffer.concat(parts);
    expect(piece.equals(bytes.subarray(at, at + piece.length))).toBe(true);
    at += piece.length;
  }
  expect(at).toBe(bytes.length);
  expect(new Set(blocks.reads).size).toBe(blocks.reads.length);
  expect(blocks.requests).toBeLessThan(30);
});

test("a range with holes is the same in parts as in pieces, whatever kind of content it has", async () => {
  for (const size of [0, 100, 20 * KiB, 3 * MiB]) {
    const [blocks, whole] = [new BlockMap(), noise(size)];
    const base = await writeBytes(blocks, config, whole);
    const holes = [
      { offset: 0, length: size, from: "base" as const, epoch: 0 },
      { offset: size, length: 2 * MiB, from: "hole" as const, epoch: 0 },
    ].filter(({ length }) => length > 0);
    const end = size + 2 * MiB;
    const none: ReadData = async () => new Uint8Array();
    const source = new ChunkCache(blocks, { capacityBytes: 16 * MiB });
    const content = await editContent(source, blocks, config, base, size, holes, end, none);
    for (const [from, to] of [
      [0, end],
      [size >> 1, size + 10],
      [size + 7, end - 1],
    ] as const) {
      const parts: Uint8Array[] = [];
      for await (const some of streamParts(source, content, end, from, to)) parts.push(...some);
      const expected = Buffer.concat([whole, new Uint8Array(2 * MiB)]).subarray(from, to);
      expect(Buffer.concat(parts).equals(expected)).toBe(true);
    }
  }
});

test("while a piece of a stream is used, the next ones are loaded, within a bound", async () => {
  const { blocks, content, bytes } = await largeFile();
  const source = new ChunkCache(blocks, { capacityBytes: 16 * MiB });
  const loadedBytes = () => blocks.reads.reduce((sum, cid) => sum + (blocks.held.get(cid)?.length ?? 0), 0);
  let at = 0;
  for await (const piece of streamContent(source, content, bytes.length)) {
    at += piece.length;
    const left = bytes.length - at;
    // The first window grows from 256 KiB.
    const least = at > 16 * MiB ? Math.min(left, 3 * MiB) - MiB : -MiB;
    expect(loadedBytes() - at).toBeGreaterThan(least);
    expect(loadedBytes() - at).toBeLessThan(10 * MiB);
  }
  expect(at).toBe(bytes.length);
});

describe("the cost of an edit", () => {
  test("one byte overwritten in the middle: a few chunks read, one uploaded", async () => {
    const cost = await editCost((file) => file.write(33 * MiB, Uint8Array.of(1)));
    expect(cost.chunksRead).toBeLessThanOrEqual(4);
    expect(cost.uploaded).toBeLessThanOrEqual(400 * KiB);
  });

  test("one byte inserted anywhere: at most 400 KB uploaded", async () => {
    for (const at of [10, 20 * MiB + 7, 50 * MiB + 1]) {
      const cost = await editCost((file) => file.insert(at, Uint8Array.of(1)));
      expect(cost.uploaded).toBeLessThanOrEqual(400_000);
    }
  });

  test("a kilobyte appended: only the end is read", async () => {
    const cost = await editCost((file) => file.write(file.bytes.length, noise(1_000)));
    expect(cost.chunksRead).toBeLessThanOrEqual(3);
    expect(cost.uploaded).toBeLessThanOrEqual(700 * KiB);
  });

  test("two distant bytes overwritten: the range between them is not read", async () => {
    const cost = await editCost((file) => file.write(MiB, Uint8Array.of(1)).write(60 * MiB, Uint8Array.of(1)));
    expect(cost.chunksRead).toBeLessThanOrEqual(8);
    expect(cost.uploaded).toBeLessThanOrEqual(800 * KiB);
  });

  test("a size change across 64 MiB rechunks the whole file", async () => {
    const cost = await editCost((file) => file.truncate(40 * MiB));
    expect(cost.chunksRead).toBeGreaterThan(100);
  });
});

const FILE_BYTES = 70 * MiB;

let made: { bytes: Uint8Array; content: Content; blocks: BlockMap } | undefined;

/** One file for all tests here; its blocks under fresh counts. */
async function largeFile(): Promise<{ bytes: Uint8Array; content: Content; blocks: BlockMap }> {
  if (made === undefined) {
    const [bytes, blocks] = [noise(FILE_BYTES, 9), new BlockMap()];
    made = { bytes, content: await writeBytes(blocks, config, bytes), blocks };
  }
  made.blocks.forgetCounts();
  return made;
}

/** Edits the file, compares with writing it whole, and counts: chunks read, bytes of blocks that were not there. */
async function editCost(edit: (file: EditedFile) => void): Promise<{ chunksRead: number; uploaded: number }> {
  const { bytes, content, blocks } = await largeFile();
  const file = new EditedFile(bytes);
  edit(file);
  const fresh = new BlockMap();
  const sink = { put: (block: Block) => (blocks.held.has(block.cid) ? undefined : fresh.put(block)) };
  const source = new ChunkCache(blocks, { capacityBytes: 16 * MiB });
  const { length } = file.bytes;
  const edited = await editContent(source, sink, config, content, bytes.length, file.segments(), length, file.readData);
  const chunksRead = blocks.reads.filter((cid) => cid.startsWith("bafkr4i")).length;
  expect(edited).toEqual(await writeBytes(new BlockMap(), config, file.bytes));
  return { chunksRead, uploaded: fresh.putBytes };
}

async function chunkLengths(bytes: Uint8Array): Promise<number[]> {
  const blocks = new BlockMap();
  const content = await writeBytes(blocks, config, bytes);
  const lengths: number[] = [];
  const source = new ChunkCache(blocks, { capacityBytes: MiB });
  for await (const { kind, length } of walkContent(source, content, bytes.length)) {
    if (kind === "chunk") lengths.push(length);
  }
  return lengths;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
