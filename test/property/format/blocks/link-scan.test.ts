/** Finding links by scanning is the same as finding them by decoding: the same links, and the same bytes refused; the others have one spelling. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hasCode } from "../../../../src/base/errors.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import type { CborValue } from "../../../../src/format/blocks/dag-cbor.ts";
import { decodeCbor, encodeCbor, Link } from "../../../../src/format/blocks/dag-cbor.ts";
import { scanLinks } from "../../../../src/format/blocks/link-scan.ts";
import { arbitraryMutations, mutate } from "../../../support/mutate.ts";
import { arbitraryCid } from "../../../support/records.ts";

const numRuns = process.env["SYNCLINE_TEST_ALL"] === undefined ? 500 : 20_000;

describe("scanning and decoding agree", () => {
  test.each([
    ["encoded values", arbitraryCbor().map(encodeCbor)],
    ["damaged encoded values", arbitraryDamaged()],
    ["any bytes", fc.uint8Array({ maxLength: 48 })],
    ["random dag-cbor fragments", arbitraryPieces()],
  ])("on %s", (_, arbitrary: fc.Arbitrary<Uint8Array>) => {
    fc.assert(
      fc.property(arbitrary, (bytes) => {
        expect(scanned(bytes)).toEqual(decoded(bytes));
      }),
      { numRuns },
    );
  });
});

test.each([
  ["the largest number", "1bffffffffffffffff"],
  ["a length larger than any block", "5bffffffffffffffff"],
  ["a list too long for any block", "9bffffffffffffffff"],
  ["a list longer than its data", "9affffffff"],
  ["lists nested sixteen deep", `${"81".repeat(16)}80`],
  ["lists nested seventeen deep", `${"81".repeat(17)}80`],
  ["lists nested a thousand deep", `${"81".repeat(1_000)}80`],
  ["a lone surrogate", "63eda080"],
  ["a text that begins with a byte order mark", "64efbbbf61"],
  ["a text that is only a byte order mark", "63efbbbf"],
  ["a key that begins with a byte order mark", "a164efbbbf6101"],
  ["a text that contains a byte order mark", "6461efbbbf"],
  ["the key __proto__", "a1695f5f70726f746f5f5f01"],
  ["nothing", ""],
])("scanning and decoding agree on %s", (_, hex) => {
  const bytes = Buffer.from(hex, "hex");
  expect(scanned(bytes)).toEqual(decoded(bytes));
});

test("links are returned in order, for any range of them", () => {
  fc.assert(
    fc.property(fc.array(arbitraryBlockCid(), { maxLength: 40 }), fc.nat(45), fc.nat(45), (cids, from, to) => {
      const links = scanLinks(encodeCbor({ a: cids.map((cid) => new Link(cid)) }));
      expect(links.count).toBe(cids.length);
      expect(links.slice(from, to)).toEqual(cids.slice(from, to));
    }),
  );
});

function scanned(bytes: Uint8Array): Cid[] | "refused" {
  return outcome(() => scanLinks(bytes).slice(0));
}

/** What decodes has to encode again to the same bytes: they are its one spelling. */
function decoded(bytes: Uint8Array): Cid[] | "refused" {
  return outcome(() => {
    const value = decodeCbor(bytes);
    expect(Buffer.from(encodeCbor(value)).toString("hex")).toBe(Buffer.from(bytes).toString("hex"));
    return collect(value, []);
  });
}

/** In any order: a plain object has keys that look like numbers first, wherever they stand. */
function outcome(links: () => Cid[]): Cid[] | "refused" {
  try {
    return links().sort();
  } catch (error) {
    if (hasCode(error, "format_invalid")) return "refused";
    throw error;
  }
}

function collect(value: CborValue, links: Cid[]): Cid[] {
  if (value instanceof Link) links.push(value.cid);
  else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    for (const item of Object.values(value) as CborValue[]) collect(item, links);
  }
  return links;
}

function arbitraryCbor(): fc.Arbitrary<CborValue> {
  const leaf = fc.oneof(
    fc.constantFrom<CborValue>(null, true, false, 23, 24, 255, 256, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER),
    fc.integer(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.string({ unit: "binary", maxLength: 30 }).map((text) => Buffer.from(text).toString()),
    fc.uint8Array({ maxLength: 30 }),
    arbitraryBlockCid().map((cid) => new Link(cid)),
  );
  return fc.letrec<{ value: CborValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      leaf,
      fc.array(tie("value"), { maxLength: 5 }),
      fc.dictionary(fc.string({ maxLength: 4 }), tie("value"), { maxKeys: 5, noNullPrototype: true }),
    ),
  })).value;
}

function arbitraryBlockCid(): fc.Arbitrary<Cid> {
  return fc.oneof(arbitraryCid("raw"), arbitraryCid("dag-cbor"));
}

function arbitraryDamaged(): fc.Arbitrary<Uint8Array> {
  return fc.tuple(arbitraryCbor(), arbitraryMutations()).map(([value, changes]) => mutate(encodeCbor(value), changes));
}

function arbitraryPieces(): fc.Arbitrary<Uint8Array> {
  const heads = "00 17 18 19 1a 1b 20 38 3b 40 41 58 60 61 78 80 81 82 98 a0 a1 a2 b8 d8 f4 f6 f7 fb ff".split(" ");
  const link = `d82a58250001551e20${"00".repeat(32)}`;
  const pieces = fc.oneof(
    fc.constantFrom(...heads),
    fc.constant(link),
    fc.constantFrom("6161", "6162", "61c3", "63efbbbf"),
  );
  return fc.array(pieces, { maxLength: 12 }).map((parts) => Buffer.from(parts.join(""), "hex"));
}
