/** Addresses as text are what multiformats makes of them, and come back from it. */
import * as fc from "fast-check";
import { base32 } from "multiformats/bases/base32";
import { expect, test } from "vitest";
import type { Cid } from "../../../../src/base/ids.ts";
import { CID_BYTES } from "../../../../src/format/blocks/cid.ts";
import { cidText, cidTextBytes } from "../../../../src/format/blocks/cid-text.ts";

const cidBytes = fc.uint8Array({ minLength: CID_BYTES, maxLength: CID_BYTES });

test("any 36 bytes, at any offset, have the same text as in multiformats, and decode from it", () => {
  fc.assert(
    fc.property(cidBytes, fc.uint8Array({ maxLength: 9 }), (bytes, before) => {
      const text = cidText(Buffer.concat([before, bytes, before]), before.length);
      expect(text).toBe(base32.encode(bytes));
      expect(Buffer.from(cidTextBytes(text))).toEqual(Buffer.from(bytes));
    }),
  );
});

test("each byte position is encoded correctly", () => {
  for (let at = 0; at < CID_BYTES; at++)
    for (const value of [1, 0x80, 0xff]) {
      const bytes = new Uint8Array(CID_BYTES);
      bytes[at] = value;
      expect(cidText(bytes)).toBe(base32.encode(bytes));
    }
});

test("no two texts decode to the same bytes", () => {
  const anyText = fc.oneof(
    fc.string(),
    fc
      .tuple(cidBytes, fc.nat(58), fc.string({ unit: "binary", minLength: 1, maxLength: 1 }))
      .map(([bytes, at, other]) => {
        const text = cidText(bytes);
        return text.slice(0, at) + other + text.slice(at + 1);
      }),
  );
  fc.assert(fc.property(anyText, (text) => textAgain(text) === text));
  expect(() => cidTextBytes(`${cidText(new Uint8Array(CID_BYTES)).slice(0, -1)}b` as Cid)).toThrow(RangeError);
});

/** What the text's bytes are written as; itself where it has none. */
function textAgain(text: string): string {
  try {
    return cidText(cidTextBytes(text as Cid));
  } catch (error) {
    if (error instanceof RangeError) return text;
    throw error;
  }
}
