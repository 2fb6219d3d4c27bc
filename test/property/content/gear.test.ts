/** The native search for cuts does what the one in JavaScript does, however a file's bytes arrive. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createContentConfig } from "../../../src/content/config.ts";
import { findCut, findCutNative, findCutPlain } from "../../../src/content/gear.ts";
import { noise } from "../../support/bytes.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 1_000 : 20_000;
const { gear } = createContentConfig();

const search = fc.record({
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 1, max: 50 }))
      .map(([size, seed]) => noise(size, seed)),
  ),
  /** Where the hash and the search begin, and where it ends, as parts of the length. */
  places: fc
    .tuple(fc.nat(1_000), fc.nat(1_000), fc.nat(1_000))
    .map(([one, other, to]) => [Math.min(one, other), Math.max(one, other), to].map((place) => place / 1_000)),
  /** Bits of the mask: none always cuts, 32 hardly ever. */
  bits: fc.integer({ min: 0, max: 32 }),
});

function maskOf(bits: number): number {
  return bits === 0 ? 0 : -1 << (32 - bits);
}

// Where the addon is not built there is only one.
test.runIf(findCutNative !== undefined)(
  "the native search and the one in JavaScript find the same cut, for any range",
  () => {
    expect(findCut).toBe(findCutNative);
    fc.assert(
      fc.property(search, ({ bytes, places, bits }) => {
        const [first = 0, from = 0, to = 0] = places.map((place) => Math.floor(place * bytes.length));
        const found = findCutNative?.(bytes, gear, first, from, to, maskOf(bits));
        expect(found).toBe(findCutPlain(bytes, gear, first, from, to, maskOf(bits)));
      }),
      { numRuns: RUNS },
    );
  },
);

test.runIf(findCutNative !== undefined)("arguments out of range are refused", () => {
  const bytes = noise(100);
  for (const [first, from, to] of [
    [-1, 0, 10],
    [5, 4, 10],
    [0, NaN, 9],
    [0, 10, 101],
    [NaN, 0, 10],
  ] as const)
    expect(() => findCutNative?.(bytes, gear, first, from, to, 1)).toThrow("findCut");
  expect(() => findCutNative?.(bytes, gear.subarray(1), 0, 0, 10, 1)).toThrow("findCut");
});

test("a search in pieces finds the same cut", () => {
  fc.assert(
    fc.property(search, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), ({ bytes, bits }, steps) => {
      let found = 0;
      for (let from = 0, step = 0; from < bytes.length && found === 0; step++) {
        const to = Math.min(bytes.length, from + (steps[step % steps.length] ?? 1));
        found = findCut(bytes, gear, 0, from, to, maskOf(bits));
        from = to;
      }
      expect(found).toBe(findCutPlain(bytes, gear, 0, 0, bytes.length, maskOf(bits)));
    }),
    { numRuns: RUNS },
  );
});
