/** Edits of contents: whatever was edited, the outcome is that of writing the whole file. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ChunkCache } from "../../../../../src/content/chunk-cache.ts";
import { editContent } from "../../../../../src/content/edit.ts";
import { peekContent, readContent } from "../../../../../src/content/read.ts";
import { loading } from "../../../../../src/content/source.ts";
import { contentHash, walkContent } from "../../../../../src/content/walk.ts";
import { writeBytes, writeContent } from "../../../../../src/content/write.ts";
import type { Content } from "../../../../../src/format/files/record.ts";
import { BlockMap } from "../../../../support/block-map.ts";
import { noise } from "../../../../support/bytes.ts";
import { EditedFile } from "../../../../support/edited-file.ts";
import { smallChunks as config } from "../../../../support/small-chunks.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 400 : 6_000;

type Edit =
  | { kind: "write" | "insert"; at: Offset; length: number; seed: number }
  | { kind: "zeros" | "punch"; at: Offset; length: number }
  | { kind: "rewrite" }
  | { kind: "truncate"; at: number }
  | { kind: "append"; length: number; seed: number };

/** A fraction of the file's size; `atZeros`: moved on to where a run of zeros ends. */
interface Offset {
  readonly fraction: number;
  readonly atZeros: boolean;
}

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const place: fc.Arbitrary<Offset> = fc.record({ fraction, atZeros: fc.boolean() });
const length = fc.oneof(
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 120 }),
  fc.integer({ min: 1, max: 600 }),
);
const seed = fc.integer({ min: 1, max: 5 });
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constantFrom("write" as const, "insert" as const), at: place, length, seed }),
  fc.record({ kind: fc.constantFrom("zeros" as const, "punch" as const), at: place, length }),
  fc.record({ kind: fc.constant("rewrite" as const) }),
  fc.record({ kind: fc.constant("truncate" as const), at: fc.double({ min: 0, max: 1.3, noNaN: true }) }),
  fc.record({ kind: fc.constant("append" as const), length, seed }),
);

/** Files of noise, repeats, and runs of zeros about as long as a hole. */
const file = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constant("noise"), length: fc.integer({ min: 1, max: 700 }), seed }),
      fc.record({ kind: fc.constant("zeros"), length: fc.integer({ min: 1, max: 150 }), seed }),
      fc.record({ kind: fc.constantFrom("zeros", "repeat"), length: fc.integer({ min: 1, max: 1_000 }), seed }),
    ),
    { maxLength: 24, size: "max" },
  )
  .map((parts) => Buffer.concat(parts.map(partBytes)));

function partBytes(part: { kind: string; length: number; seed: number }): Uint8Array {
  return part.kind === "noise"
    ? noise(part.length, part.seed)
    : new Uint8Array(part.length).fill(part.kind === "zeros" ? 0 : 7);
}

function apply(target: EditedFile, edit: Edit): void {
  const size = target.bytes.length;
  if (edit.kind === "truncate") return void target.truncate(Math.floor(edit.at * size));
  if (edit.kind === "append") return void target.write(size, noise(edit.length, edit.seed));
  // As programs save a file: all of it is written again.
  if (edit.kind === "rewrite") return void target.write(0, target.bytes.slice());
  const at = offsetOf(target.bytes, edit.at);
  if (edit.kind === "write") target.write(at, noise(edit.length, edit.seed));
  else if (edit.kind === "insert") target.insert(at, noise(edit.length, edit.seed));
  else if (edit.kind === "zeros") target.write(at, new Uint8Array(edit.length));
  else target.punch(at, Math.min(edit.length, size - at));
}

function offsetOf(bytes: Uint8Array, { fraction, atZeros }: Offset): number {
  let at = Math.floor(fraction * bytes.length);
  if (!atZeros) return at;
  while (at < bytes.length && !endsZeros(bytes, at)) at++;
  return at;
}

/** Whether a run of at least 20 zeros ends at `at`. Noise has shorter ones. */
function endsZeros(bytes: Uint8Array, at: number): boolean {
  return bytes[at] !== 0 && at >= 20 && bytes.subarray(at - 20, at).every((byte) => byte === 0);
}

test("editing a file gives the same content as writing it whole, whatever was edited before", async () => {
  await fc.assert(
    fc.asyncProperty(
      file,
      fc.array(fc.array(edit, { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
      async (bytes, epochs) => {
        const blocks = new BlockMap();
        const source = new ChunkCache(blocks, { capacityBytes: 20_000 });
        let content = await writeBytes(blocks, config, bytes);
        let before: Uint8Array = bytes;
        for (const edits of epochs) {
          const edited = new EditedFile(before);
          for (const each of edits) apply(edited, each);
          const { bytes: after } = edited;
          const next = await editContent(
            source,
            blocks,
            config,
            content,
            before.length,
            edited.segments(),
            after.length,
            edited.readData,
          );
          expect(next).toEqual(await writeBytes(new BlockMap(), config, after));
          expect(Buffer.from(await readContent(source, next, after.length, 0, after.length)).equals(after)).toBe(true);
          [content, before] = [next, after];
        }
      },
    ),
    { numRuns: RUNS },
  );
});

test("content does not depend on how its bytes arrive: in pieces, or as counts of zeros", async () => {
  await fc.assert(
    fc.asyncProperty(file, fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), async (bytes, steps) => {
      const stretches: (Uint8Array | number)[] = [];
      for (let at = 0, step = 0; at < bytes.length; step++) {
        const piece = bytes.subarray(at, at + (steps[step % steps.length] ?? 1));
        stretches.push(piece.every((byte) => byte === 0) ? piece.length : piece);
        at += piece.length;
      }
      const streamed = await writeContent(new BlockMap(), config, { size: bytes.length, stretches });
      expect(streamed).toEqual(await writeBytes(new BlockMap(), config, bytes));
    }),
    { numRuns: RUNS },
  );
});

test("any range reads as the file's bytes", async () => {
  await fc.assert(
    fc.asyncProperty(file, fraction, fc.integer({ min: 0, max: 3_000 }), length, async (bytes, at, count, ahead) => {
      const blocks = new BlockMap();
      const content = await writeBytes(blocks, config, bytes);
      const source = new ChunkCache(blocks, { capacityBytes: 4_000 });
      const offset = Math.floor(at * (bytes.length + 10));
      const target = new Uint8Array(count).fill(0xee);
      const read = await loading(source, () =>
        peekContent(source, content, bytes.length, offset, count, target, ahead),
      );
      expect(Buffer.from(target.subarray(0, read))).toEqual(Buffer.from(bytes.subarray(offset, offset + count)));
      expect(target.subarray(read).every((byte) => byte === 0xee)).toBe(true);
    }),
    { numRuns: RUNS },
  );
});

test("holes are exactly the long runs of zeros", async () => {
  await fc.assert(
    fc.asyncProperty(file, async (bytes) => {
      const blocks = new BlockMap();
      const source = new ChunkCache(blocks, { capacityBytes: 1e6 });
      const content = await writeBytes(blocks, config, bytes);
      const holes: [number, number][] = [];
      for await (const { kind, offset, length } of walkContent(source, content, bytes.length)) {
        if (kind === "hole") holes.push([offset, length]);
      }
      expect(holes).toEqual(content.kind === "inline" ? [] : zeroRuns(bytes, 100));
    }),
    { numRuns: RUNS },
  );
});

test("equal hashes mean equal bytes, and all blocks of a content are found", async () => {
  await fc.assert(
    fc.asyncProperty(file, file, async (one, other) => {
      const blocks = new BlockMap();
      const source = new ChunkCache(blocks, { capacityBytes: 1e6 });
      const contents: Content[] = [await writeBytes(blocks, config, one), await writeBytes(blocks, config, other)];
      const [a, b] = contents.map((content) => Buffer.from(contentHash(content)).toString("hex"));
      expect(a === b).toBe(one.equals(other));
      const found = new Set<string>();
      for (const [index, content] of contents.entries()) {
        for await (const { cid } of walkContent(source, content, [one, other][index]?.length ?? 0))
          if (cid !== undefined) found.add(cid);
      }
      expect(found).toEqual(new Set(blocks.held.keys()));
    }),
    { numRuns: RUNS / 4 },
  );
});

function zeroRuns(bytes: Uint8Array, least: number): [number, number][] {
  const runs: [number, number][] = [];
  for (let at = 0; at < bytes.length;) {
    let end = at;
    while (end < bytes.length && bytes[end] === 0) end++;
    if (end - at >= least) runs.push([at, end - at]);
    at = Math.max(end, at + 1);
  }
  return runs;
}
