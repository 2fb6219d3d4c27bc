import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ByteReader, ByteWriter } from "../../../../src/overlay/data/bytes.ts";
import { Extents } from "../../../../src/overlay/data/extents.ts";

const MAX = 64;
const at = fc.nat({ max: MAX });
const edit = fc.record({
  kind: fc.constantFrom("data", "hole", "resize", "seal", "rebase"),
  offset: at,
  length: fc.integer({ min: 1, max: 16 }),
});

/** One letter a byte: which run it belongs to. Lower case "b" is the base's, "0" a hole, others epochs. */
type Model = { bytes: string[]; epoch: number; sealed: number | undefined; made: number[] };

function apply(
  extents: Extents,
  model: Model,
  { kind, offset, length }: { kind: string; offset: number; length: number },
): void {
  const put = (from: number, to: number, letter: string) => {
    while (model.bytes.length < from) fill(model.bytes.length, "0");
    for (let index = from; index < to; index++) fill(index, letter);
  };
  const fill = (index: number, letter: string) => {
    model.bytes[index] = letter;
    model.made[index] = model.epoch;
  };
  if (kind === "data") {
    extents.setData(offset, length, model.epoch);
    put(offset, offset + length, `e${model.epoch}`);
  } else if (kind === "hole") {
    extents.setHole(offset, length, model.epoch);
    put(offset, offset + length, "0");
  } else if (kind === "resize") {
    extents.resize(offset, model.epoch);
    put(offset, offset, "0");
    model.bytes.length = offset;
  } else if (kind === "seal") {
    model.sealed ??= model.epoch++;
  } else if (model.sealed !== undefined) {
    const { sealed } = model;
    extents.rebase(sealed);
    model.bytes = model.bytes.map((letter, index) => ((model.made[index] ?? 0) <= sealed ? "b" : letter));
    model.sealed = undefined;
  }
}

function lettersOf(extents: Extents): string[] {
  const letters: string[] = [];
  for (const { offset, length, from, epoch } of extents.segments()) {
    expect(offset).toBe(letters.length);
    expect(length).toBeGreaterThan(0);
    for (let left = length; left > 0; left--) letters.push(from === "base" ? "b" : from === "hole" ? "0" : `e${epoch}`);
  }
  return letters;
}

test("extents describe each byte as an array of bytes does, in order and without gaps", () => {
  fc.assert(
    fc.property(at, fc.array(edit, { maxLength: 40, size: "max" }), (size, edits) => {
      const extents = Extents.ofBase(size);
      const model: Model = { bytes: Array(size).fill("b"), epoch: 1, sealed: undefined, made: Array(size).fill(0) };
      for (const one of edits) {
        apply(extents, model, one);
        expect(lettersOf(extents)).toEqual(model.bytes);
        expect(extents.size).toBe(model.bytes.length);
      }
      expect(extents.dataBytes).toBe(model.bytes.filter((letter) => letter.startsWith("e")).length);
      const inBase = model.bytes.filter((letter) => letter === "b").length;
      expect(extents.storedBytes(model.bytes.length)).toBe(extents.dataBytes + inBase);
      expect(extents.storedBytes(Math.floor(inBase / 2))).toBe(extents.dataBytes + Math.floor(inBase / 2));
      const writer = new ByteWriter(16);
      extents.write(writer);
      expect(lettersOf(Extents.read(new ByteReader(writer.bytes)))).toEqual(model.bytes);
    }),
  );
});

test("the same holds for thousands of extents", () => {
  const size = 6_000;
  const place = fc.nat({ max: size });
  const small = fc.record({
    kind: fc.constantFrom("data", "hole"),
    offset: place,
    length: fc.integer({ min: 1, max: 3 }),
  });
  const large = fc.record({
    kind: fc.constantFrom("data", "hole", "resize", "seal", "rebase"),
    offset: place,
    length: fc.integer({ min: 1, max: size / 3 }),
  });
  const many = fc.array(small, { minLength: 3_000, maxLength: 3_000 });
  const parts = fc.array(fc.tuple(many, large), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(parts, (edits) => {
      const extents = Extents.ofBase(size);
      const model: Model = { bytes: Array(size).fill("b"), epoch: 1, sealed: undefined, made: Array(size).fill(0) };
      for (const [each, one] of edits) {
        // Joins extents one by one, starting in the middle.
        const inOrder = Array.from({ length: 40 }, (_, step) => ({
          kind: "data",
          offset: 3_000 + step * 50,
          length: 50,
        }));
        for (const edit of [...each, ...inOrder, one]) {
          apply(extents, model, edit);
          extents.storedBytes(size);
        }
        expect(lettersOf(extents)).toEqual(model.bytes);
        expect(extents.storedBytes(size)).toBe(model.bytes.filter((letter) => letter !== "0").length);
      }
    }),
    { numRuns: 5, endOnFailure: true },
  );
});

test("a range returns exactly its part of each run", () => {
  fc.assert(
    fc.property(at, fc.array(edit, { maxLength: 20 }), at, at, (size, edits, offset, length) => {
      const extents = Extents.ofBase(size);
      const model: Model = { bytes: Array(size).fill("b"), epoch: 1, sealed: undefined, made: Array(size).fill(0) };
      for (const one of edits) apply(extents, model, one);
      const runs = [...extents.range(offset, length)];
      const letters = runs.flatMap((run) =>
        Array.from({ length: run.length }, () =>
          run.from === "base" ? "b" : run.from === "hole" ? "0" : `e${run.epoch}`,
        ),
      );
      expect(letters).toEqual(model.bytes.slice(offset, offset + length));
      expect(runs.every((run) => run.length > 0 && run.offset >= offset)).toBe(true);
    }),
  );
});

test("adjacent runs of one kind are joined, so writing a file in pieces leaves one extent", () => {
  const extents = Extents.ofBase(0);
  for (let at = 0; at < 100; at++) extents.setData(at * 10, 10, 3);
  for (let at = 99; at >= 0; at -= 2) extents.setData(at * 10, 10, 3);
  expect(extents.segments()).toEqual([{ offset: 0, length: 1000, from: "data", epoch: 3 }]);
});
