import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Pieces, type Piece } from "../../../../src/overlay/data/small-pieces.ts";

const arbitraryPiece: fc.Arbitrary<Piece> = fc.record({
  offset: fc.nat(60),
  length: fc.integer({ min: 1, max: 40 }),
  part: fc.constantFrom("small.1.0", "small.1.1", "small.1.2"),
  at: fc.nat(2 ** 40),
});

test("pieces say for each byte where its newest copy lies, and which shared files have any copy", () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryPiece, { maxLength: 40 }),
      fc.nat(100),
      fc.integer({ min: 1, max: 60 }),
      (puts, offset, length) => {
        const pieces = new Pieces();
        const bytes = new Map<number, { part: string; at: number }>();
        const parts = new Set<string>();
        for (const piece of puts) {
          for (let at = 0; at < piece.length; at++)
            bytes.set(piece.offset + at, { part: piece.part, at: piece.at + at });
          pieces.put(piece);
          parts.add(piece.part);
          expect(new Set(pieces.parts)).toEqual(parts);
          for (const part of ["small.1.0", "small.1.1", "small.1.2"]) expect(pieces.isIn(part)).toBe(parts.has(part));
        }
        const all = pieces.all();
        expect(all).toEqual(all.toSorted((a, b) => a.offset - b.offset));
        const found = all.flatMap((piece) =>
          Array.from({ length: piece.length }, (_, at) => [piece.offset + at, place(piece, at)] as const),
        );
        expect(found).toHaveLength(bytes.size);
        expect(new Map(found)).toEqual(bytes);
        const holds = (piece: Piece) => piece.offset <= offset && piece.offset + piece.length >= offset + length;
        expect(pieces.holding(offset, length)).toEqual(all.find(holds));
        expect(readOf(pieces, offset, length)).toEqual(
          Array.from({ length }, (_, at) => (bytes.has(offset + at) ? (bytes.get(offset + at)?.at ?? 0) % 251 : 255)),
        );
      },
    ),
  );
});

function place({ part, at }: Piece, more: number): { part: string; at: number } {
  return { part, at: at + more };
}

/** Each byte of a shared file is its place modulo 251; 255 where there is no piece. */
function readOf(pieces: Pieces, offset: number, length: number): number[] {
  const target = new Uint8Array(length).fill(255);
  const file = {
    read: (at: number, into: Uint8Array) => {
      for (let index = 0; index < into.length; index++) into[index] = (at + index) % 251;
      return into.length;
    },
  };
  pieces.read(offset, target, () => file as never);
  return [...target];
}
