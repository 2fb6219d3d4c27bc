/** Files that are cut while they are written: the outcome is that of cutting the whole file, and little of it is read again. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hasCode } from "../../../src/base/errors.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { ChunkCache } from "../../../src/content/chunk-cache.ts";
import { EarlyCutter } from "../../../src/content/early-cutter.ts";
import { editContent } from "../../../src/content/edit.ts";
import { writeBytes } from "../../../src/content/write.ts";
import type { Content } from "../../../src/format/files/record.ts";
import { failure } from "../../contract/block-store.ts";
import { BlockMap } from "../../support/block-map.ts";
import { noise } from "../../support/bytes.ts";
import { EditedFile } from "../../support/edited-file.ts";
import { smallChunks as config } from "../../support/small-chunks.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 400 : 6_000;

const part = fc.record({
  kind: fc.constantFrom("noise", "noise", "zeros", "repeat"),
  length: fc.oneof(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 1, max: 1_500 })),
  seed: fc.integer({ min: 1, max: 5 }),
});
const file = fc
  .array(part, { minLength: 1, maxLength: 16, size: "max" })
  .map((parts) =>
    Buffer.concat(
      parts.map(({ kind, length, seed }) =>
        kind === "noise" ? noise(length, seed) : new Uint8Array(length).fill(kind === "zeros" ? 0 : 7),
      ),
    ),
  );
const fraction = fc.nat(1_000).map((part) => part / 1_000);

const history = fc.record({
  before: file,
  /** The new file: what was there with something put in, or another one. */
  fresh: fc.option(file, { nil: undefined }),
  inserted: fc.record({ at: fraction, bytes: file }),
  /** How much of it was written in order, and how much of that was cut early, in which steps. */
  written: fraction,
  cut: fraction,
  steps: fc.array(fc.integer({ min: 1, max: 1_500 }), { minLength: 1 }),
  /** What happened behind that. */
  rest: fc.constantFrom("in order", "hole", "nothing"),
});

test("cuts found before the file is complete are those of the whole file", async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ before, fresh, inserted, written, cut, steps, rest }) => {
      const blocks = new BlockMap();
      const source = new ChunkCache(blocks, { capacityBytes: 20_000 });
      const base = await writeBytes(blocks, config, before);
      const wanted =
        fresh ?? new EditedFile(before).insert(Math.floor(inserted.at * before.length), inserted.bytes).bytes;
      const inOrder = Math.ceil(written * wanted.length);
      const read = Math.floor(cut * inOrder);

      fc.pre(base.kind === "list");
      const cutter = new EarlyCutter(source, config, base.cid, before.length);
      for (let at = 0, step = 0; at < read; step++) {
        const to = Math.min(read, at + (steps[step % steps.length] ?? 1));
        await push(cutter, wanted.subarray(at, to));
        at = to;
      }
      expect(cutter.cuts.read).toBe(read);

      const edited = new EditedFile(before).truncate(0).write(0, wanted.subarray(0, inOrder));
      if (rest === "in order") edited.write(inOrder, wanted.subarray(inOrder));
      else if (rest === "hole") edited.truncate(inOrder + wanted.length);
      const after = edited.bytes;
      const { cuts } = cutter;
      const readData = async (epoch: number, offset: number, length: number) => edited.readData(epoch, offset, length);
      const segments = edited.segments();
      const next = await editContent(
        source,
        blocks,
        config,
        base,
        before.length,
        segments,
        after.length,
        readData,
        cuts,
      );
      expect(next).toEqual(await writeBytes(new BlockMap(), config, after));
      for (const cid of await blocksOf(after)) expect(blocks.held.has(cid)).toBe(true);
      expect(cuts.isRefuted).toBe(false);
    }),
    { numRuns: RUNS },
  );
});

test("after early cuts only new chunks and a sample of old ones are read again, and only new blocks are stored", async () => {
  const blocks = new BlockMap();
  const before = noise(200_000, 1);
  const base = await writeBytes(blocks, config, before);
  const source = new ChunkCache(blocks, { capacityBytes: 1e6 });
  const edited = new EditedFile(before).insert(100_000, noise(1, 2));
  edited.write(0, edited.bytes.slice());
  const size = edited.bytes.length;
  const cutter = new EarlyCutter(source, config, rootOf(base), before.length);
  for (let at = 0; at < size; at += 4_096) await push(cutter, edited.bytes.subarray(at, at + 4_096));

  blocks.forgetCounts();
  let read = 0;
  const readData = async (epoch: number, offset: number, length: number) => {
    read += length;
    return edited.readData(epoch, offset, length);
  };
  const edit = (early = false) => {
    const cuts = early ? cutter.cuts : undefined;
    return editContent(source, blocks, config, base, before.length, edited.segments(), size, readData, cuts);
  };
  const found = await edit(true);
  expect(read).toBeLessThan(size / 20);
  // Those of the list's upper levels, whose nodes are small here.
  expect(blocks.puts.length).toBeLessThan(blocks.held.size / 5);
  expect(await edit()).toEqual(found);
  expect(read).toBeGreaterThan(size);
});

test("chunks of a list that is no longer the base are stored again", async () => {
  const bytes = noise(20_000, 1);
  const blocks = new BlockMap();
  const first = await writeBytes(blocks, config, bytes);
  const cutter = new EarlyCutter(new ChunkCache(blocks, { capacityBytes: 1e6 }), config, rootOf(first), 20_000);
  await push(cutter, bytes);
  const kept = new BlockMap();
  const base = await writeBytes(kept, config, noise(20_000, 2));
  const source = new ChunkCache(kept, { capacityBytes: 1e6 });
  const edited = new EditedFile(noise(20_000, 2)).write(0, bytes);
  await editContent(source, kept, config, base, 20_000, edited.segments(), 20_000, edited.readData, cutter.cuts);
  for (const cid of await blocksOf(bytes)) expect(kept.held.has(cid)).toBe(true);
});

test("bytes that differ from those that were cut are an error, never published", async () => {
  const blocks = new BlockMap();
  const source = new ChunkCache(blocks, { capacityBytes: 1e6 });
  const before = noise(20_000, 3);
  const base = await writeBytes(blocks, config, before);
  const written = new EditedFile(before).write(0, noise(20_000, 1));
  const cutter = new EarlyCutter(source, config, rootOf(base), 20_000);
  await push(cutter, written.bytes);
  const other = new EditedFile(before).write(0, noise(20_000, 2));
  const edit = () =>
    editContent(source, blocks, config, base, 20_000, other.segments(), 20_000, other.readData, cutter.cuts);
  expect(hasCode(await failure(edit()), "internal")).toBe(true);
  expect(cutter.cuts.isRefuted).toBe(true);
});

async function blocksOf(bytes: Uint8Array): Promise<Cid[]> {
  const blocks = new BlockMap();
  await writeBytes(blocks, config, bytes);
  return [...blocks.held.keys()];
}

function rootOf(content: Content): Cid {
  if (content.kind !== "list") throw new Error("the file is too small to have a chunk list");
  return content.cid;
}

async function push(cutter: EarlyCutter, bytes: Uint8Array): Promise<void> {
  await cutter.prepare(bytes.length);
  cutter.push(bytes);
}
