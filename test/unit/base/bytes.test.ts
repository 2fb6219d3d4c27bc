import * as fc from "fast-check";
import { expect, test } from "vitest";
import { firstDifference } from "../../../src/base/bytes.ts";

test("the first difference of two byte strings is found at any offset and length", () => {
  const length = fc.nat({ max: 9_000 });
  fc.assert(
    fc.property(length, length, length, fc.nat({ max: 3 }), (size, change, from, shift) => {
      const a = new Uint8Array(size + shift).fill(7).subarray(shift);
      const b = Uint8Array.from(a);
      if (change < size) b[change] = 8;
      const expected = from <= change && change < size ? change : -1;
      expect(firstDifference(viewed(a), viewed(b), from, size)).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

function viewed(bytes: Uint8Array) {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}
