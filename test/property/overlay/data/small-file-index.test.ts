import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Ino } from "../../../../src/base/ids.ts";
import { SmallFileIndex } from "../../../../src/overlay/data/small-file-index.ts";
import { Pieces } from "../../../../src/overlay/data/small-pieces.ts";

test("an index of small files returns each file's pieces until the file is deleted", () => {
  const arbitraryPut = fc.record({
    ino: fc.integer({ min: 2, max: 6 }).map((ino) => ino as Ino),
    piece: fc.option(
      fc.record({
        offset: fc.nat(100),
        length: fc.integer({ min: 1, max: 100 }),
        part: fc.constantFrom("small.1.0", "small.1.1"),
        at: fc.nat(2 ** 40),
      }),
      { nil: undefined },
    ),
  });
  fc.assert(
    fc.property(fc.array(arbitraryPut, { maxLength: 30 }), (steps) => {
      const index = new SmallFileIndex();
      const known = new Map<Ino, Pieces>();
      for (const { ino, piece } of steps) {
        if (piece === undefined) {
          index.delete(ino);
          known.delete(ino);
          continue;
        }
        index.put(ino, piece);
        const pieces = known.get(ino) ?? new Pieces();
        known.set(ino, pieces);
        pieces.put(piece);
      }
      for (let ino = 2; ino <= 6; ino++) expect(index.pieces(ino as Ino)).toEqual(known.get(ino as Ino)?.all());
    }),
  );
});

test("an index holds many files", () => {
  const index = new SmallFileIndex();
  const piece = (ino: number) => ({ offset: 0, length: ino, part: `small.1.${ino >> 9}`, at: 3 * ino });
  for (let ino = 1; ino <= 2_000; ino++) index.put(ino as Ino, piece(ino));
  for (let ino = 1; ino <= 2_000; ino++) expect(index.pieces(ino as Ino)).toEqual([piece(ino)]);
});
