/** The codec of chunk list nodes: one spelling each, and whatever bytes come. */
import { decode, encode } from "@ipld/dag-cbor";
import * as fc from "fast-check";
import { CID } from "multiformats/cid";
import { expect, test } from "vitest";
import { hasCode } from "../../../../src/base/errors.ts";
import { decodeChunkList, encodeChunkList } from "../../../../src/format/files/chunk-list.ts";
import type { ListEntry } from "../../../../src/format/files/chunk-list.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { arbitraryMutations, judge, mutate, STRICT } from "../../../support/mutate.ts";

const leafEntry = fc.record({ seed: fc.nat(), length: fc.integer({ min: 1, max: 4 << 20 }), hole: fc.boolean() });
const leaf = fc.array(leafEntry, { minLength: 1, maxLength: 40 }).map((entries) =>
  entries.map(({ seed, length, hole }, index): ListEntry => {
    const isHole = hole && entries[index - 1]?.hole !== true && index % 2 === 0;
    return isHole
      ? { cid: undefined, length: length * 1_000_003, dataLength: 0 }
      : { cid: cidOf("raw", Buffer.from(`${seed}`)), length, dataLength: length };
  }),
);
const innerEntry = fc.record({ seed: fc.nat(), data: fc.nat(), holes: fc.nat({ max: 2 ** 40 }) });
const inner = fc.array(innerEntry, { minLength: 1, maxLength: 40 }).map((entries) =>
  entries.map(({ seed, data, holes }): ListEntry => {
    return { cid: cidOf("dag-cbor", Buffer.from(`${seed}`)), length: data + holes + 1, dataLength: data };
  }),
);
const node = fc.oneof(
  leaf.map((entries) => ({ level: 0, entries })),
  fc.record({ level: fc.integer({ min: 1, max: 8 }), entries: inner }),
);

test("a node is read back as written", () => {
  fc.assert(
    fc.property(node, ({ level, entries }) => {
      const list = decodeChunkList(encodeChunkList(level, entries));
      expect(list.level).toBe(level);
      expect(Array.from(list.ends, (_, index) => list.entry(index))).toEqual(entries);
      expect(list.length).toBe(entries.reduce((sum, { length }) => sum + length, 0));
      expect(list.dataLength).toBe(entries.reduce((sum, { dataLength }) => sum + dataLength, 0));
    }),
  );
});

test("any dag-cbor tool reads a node and finds its links", () => {
  fc.assert(
    fc.property(node, ({ level, entries }) => {
      const bytes = encodeChunkList(level, entries);
      const value = decode<[number, number, number[], (CID | null)[], number[]?]>(bytes);
      expect(value[0]).toBe(1);
      expect(value[1]).toBe(level);
      expect(value[2]).toEqual(entries.map(({ length }) => length));
      expect(value[3].map((link) => link?.toString())).toEqual(entries.map(({ cid }) => cid));
      expect(value[4]).toEqual(level === 0 ? undefined : entries.map(({ dataLength }) => dataLength));
      expect(Buffer.from(encode(value))).toEqual(Buffer.from(bytes));
    }),
  );
});

test("damaged bytes are refused or are the canonical encoding of some node", () => {
  fc.assert(
    fc.property(node, arbitraryMutations(), ({ level, entries }, edits) => {
      const input = mutate(encodeChunkList(level, entries), edits);
      expect(STRICT).toContain(judge(input, reencode));
    }),
    { numRuns: process.env["SYNCLINE_TEST_ALL"] === undefined ? 3_000 : 100_000 },
  );
});

test("arbitrary bytes are refused or are the canonical encoding of some node", () => {
  const starts = fc.constantFrom([0x84, 1, 0, 0x81], [0x85, 1, 1, 0x81], [0x84], []);
  fc.assert(
    fc.property(starts, fc.uint8Array({ maxLength: 120 }), (start, rest) => {
      expect(STRICT).toContain(judge(Buffer.from([...start, ...rest]), reencode));
    }),
    { numRuns: 3_000 },
  );
});

const chunk = CID.parse(cidOf("raw", Buffer.from("chunk")));
const child = CID.parse(cidOf("dag-cbor", Buffer.from("node")));
test.each([
  ["an unknown version", [2, 0, [1], [chunk]]],
  ["too high a level", [1, 9, [1], [child], [1]]],
  ["data lengths in a leaf", [1, 0, [1], [chunk], [1]]],
  ["no data lengths above the leaves", [1, 1, [1], [child]]],
  ["no entries", [1, 0, [], []]],
  ["too many entries", [1, 0, Array.from({ length: 513 }, () => 1), Array.from({ length: 513 }, () => chunk)]],
  ["an entry of length 0", [1, 0, [0], [chunk]]],
  ["lengths above 2^53", [1, 0, [2 ** 53 - 1, 2 ** 53 - 1], [null, chunk]]],
  ["more links than lengths", [1, 0, [1], [chunk, chunk]]],
  ["two adjacent holes", [1, 0, [70_000, 70_000], [null, null]]],
  ["a chunk longer than a block", [1, 0, [(4 << 20) + 1], [chunk]]],
  ["a node among chunks", [1, 0, [1], [child]]],
  ["a chunk among nodes", [1, 1, [1], [chunk], [1]]],
  ["a hole above the leaves", [1, 1, [70_000], [null], [0]]],
  ["a data length above its length", [1, 1, [5], [child], [6]]],
])("a node with %s is refused", (_, value) => {
  const decoding = () => decodeChunkList(encode(value));
  expect(thrownBy(decoding)).toBe("format_invalid");
});

function reencode(input: Uint8Array): Uint8Array {
  const list = decodeChunkList(input);
  return encodeChunkList(
    list.level,
    Array.from(list.ends, (_, index) => list.entry(index)),
  );
}

function thrownBy(action: () => unknown): string {
  try {
    action();
    return "nothing";
  } catch (error) {
    return hasCode(error, "format_invalid") ? "format_invalid" : String(error);
  }
}
