/** Addresses are spelled as multiformats spells them. */
import * as fc from "fast-check";
import { base32 } from "multiformats/bases/base32";
import { expect, test } from "vitest";
import { decodeBase32, encodeBase32 } from "../../src/format/base32.ts";

test("bytes become the text that multiformats makes of them, and come back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const text = encodeBase32(bytes);
      expect(text).toBe(base32.encode(bytes));
      expect(decodeBase32(text, bytes.length)).toEqual(Uint8Array.from(bytes));
    }),
    { numRuns: 2_000 },
  );
});
