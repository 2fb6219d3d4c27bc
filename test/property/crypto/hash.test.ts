/** Hashes are the same in each of their implementations. */
import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { blake3, deriveHash } from "../../../src/crypto/hash.ts";

const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ minLength: 4_000, maxLength: 5_000 }));

test("a block's hash is BLAKE3, whatever its length", () => {
  fc.assert(
    fc.property(bytes, (block) => {
      expect(Buffer.from(blake3(block))).toEqual(Buffer.from(nobleBlake3(block)));
    }),
  );
});

test("a derived hash is BLAKE3's derive_key of all parts concatenated", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.array(bytes, { maxLength: 4 }), (context, parts) => {
      const whole = nobleBlake3(Buffer.concat(parts), { context: Buffer.from(context) });
      expect(Buffer.from(deriveHash(context, ...parts))).toEqual(Buffer.from(whole));
    }),
  );
});
