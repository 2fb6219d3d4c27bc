/** Hashes are the same in each of their implementations. */
import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { blake3, createKeyedHash, deriveHash } from "../../../src/crypto/hash.ts";

const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ minLength: 4_000, maxLength: 5_000 }));

test("a block's hash is BLAKE3, whatever its length", () => {
  fc.assert(
    fc.property(bytes, (block) => {
      expect(Buffer.from(blake3(block))).toEqual(Buffer.from(nobleBlake3(block)));
    }),
  );
});

test("short blocks keep their hashes when WebAssembly takes over after thousands of them", async () => {
  const blocks = Array.from({ length: 5_000 }, (_, at) => Buffer.from(`block ${at}`));
  const before = blocks.map((block) => Buffer.from(blake3(block)).toString("hex"));
  // Starts and ends as the other does.
  await createKeyedHash(new Uint8Array(32));
  await new Promise((resolve) => setImmediate(resolve));
  expect(blocks.map((block) => Buffer.from(blake3(block)).toString("hex"))).toEqual(before);
});

test("a derived hash is BLAKE3's derive_key of all parts concatenated", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.array(bytes, { maxLength: 4 }), (context, parts) => {
      const whole = nobleBlake3(Buffer.concat(parts), { context: Buffer.from(context) });
      expect(Buffer.from(deriveHash(context, ...parts))).toEqual(Buffer.from(whole));
    }),
  );
});
