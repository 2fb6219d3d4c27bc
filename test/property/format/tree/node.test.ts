import { decode as decodeDagCbor, encode as encodeDagCbor } from "@ipld/dag-cbor";
import * as fc from "fast-check";
import type { CID } from "multiformats/cid";
import { describe, expect, test } from "vitest";
import { compareBytes } from "../../../../src/base/bytes.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import type { Node } from "../../../../src/format/tree/node.ts";
import { decodeNode } from "../../../../src/format/tree/node-decoder.ts";
import { bytesBefore, NodeEncoder } from "../../../../src/format/tree/node-encoder.ts";
import type { Entry } from "../../../../src/tree/entry.ts";
import { entryAt } from "../../../../src/tree/entry.ts";
import { arbitraryMutations, judge, mutate, STRICT } from "../../../support/mutate.ts";
import { arbitraryModel, entriesOf } from "../../../support/trees.ts";

describe("node codec", () => {
  test("a node returns the entries that it was built from", () => {
    fc.assert(
      fc.property(arbitraryEntries(), (entries) => {
        const node = decodeNode(encode(entries));
        expect(entriesIn(node).map(plain)).toEqual(entries.map(plain));
      }),
    );
  });

  test("any dag-cbor decoder reads a node and finds its links", () => {
    fc.assert(
      fc.property(arbitraryEntries(), (entries) => {
        const fields = decodeDagCbor<unknown[]>(encode(entries));
        expect(fields.slice(0, 3)).toEqual([1, 0, entries.length]);
        const links = (fields.at(-1) as CID[]).map(String);
        expect(links).toEqual(entries.flatMap((entry) => entry.links));
        const columns = fields.slice(3, -1) as Uint8Array[];
        const size = columns.reduce((sum, column) => sum + column.length, 0) + 41 * links.length;
        expect(bytesBefore(decodeNode(encode(entries)), entries.length)).toBe(size);
      }),
    );
  });

  test("a search finds the first key that is not smaller", () => {
    fc.assert(
      fc.property(arbitraryEntries(), fc.uint8Array({ maxLength: 20 }), fc.nat(), (entries, random, pick) => {
        const node = decodeNode(encode(entries));
        const present = entries[pick % Math.max(1, entries.length)]?.key ?? random;
        for (const key of [random, present, Buffer.concat([present, Buffer.of(0)]), present.subarray(0, -1)]) {
          const expected = entries.filter((entry) => compareBytes(entry.key, key) < 0).length;
          expect(node.search(key)).toBe(expected);
        }
      }),
    );
  });

  test("a node assembled from parts of others equals one built from their entries", () => {
    fc.assert(
      fc.property(arbitraryEntries(), fc.array(fc.nat({ max: 30 })), (entries, steps) => {
        const node = decodeNode(encode(entries));
        const encoder = new NodeEncoder();
        let from = 0;
        for (const [turn, step] of [...steps, entries.length].entries()) {
          const to = Math.min(entries.length, from + step);
          if (turn % 2 === 0) encoder.addFrom(node, from, to);
          else for (const { key, value, links } of entries.slice(from, to)) encoder.add(key, value, links);
          from = to;
          expect(encoder.size).toBe(bytesBefore(node, from));
        }
        expect(Buffer.from(encoder.encode(0)).equals(node.bytes)).toBe(true);
      }),
    );
  });

  test("damaged leaves are refused or are the canonical encoding of some entries", () => {
    fc.assert(
      fc.property(arbitraryEntries(), arbitraryMutations(), (entries, changes) => {
        expect(STRICT).toContain(judge(mutate(encode(entries), changes), reencode));
      }),
      { numRuns: 3000 },
    );
  });

  test("damaged inner nodes are refused or are the canonical encoding of some children", () => {
    fc.assert(
      fc.property(arbitraryEntries(), arbitraryMutations(), (entries, changes) => {
        fc.pre(entries.length > 0);
        expect(STRICT).toContain(judge(mutate(encodeInner(entries), changes), reencode));
      }),
      { numRuns: 3000 },
    );
  });

  test("decoding beside a similar node gives what decoding alone gives", () => {
    fc.assert(
      fc.property(
        arbitraryEntries(),
        arbitraryMutations(),
        fc.boolean(),
        fc.boolean(),
        (entries, changes, inner, own) => {
          fc.pre(!inner || entries.length > 0);
          const made = entries.map(({ key, value, links }) => ({
            key,
            value: Uint8Array.from(value, (byte) => byte ^ 1),
            links: own ? links : links.map(() => cidOf("raw", key)),
          }));
          const bytes = inner ? encodeInner(entries) : encode(entries);
          const like = decodeNode(inner ? bytes : encode(made));
          expect(Buffer.from(reencode(bytes, like)).equals(bytes)).toBe(true);
          const damaged = mutate(bytes, changes);
          const alone = judge(damaged, reencode);
          expect(judge(damaged, (given) => reencode(given, like))).toBe(alone);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("columns with arbitrary numbers are refused or are the canonical encoding of some entries", () => {
    const runs = fc.array(fc.nat({ max: 9 }), { maxLength: 3 });
    const ends = fc.array(fc.nat({ max: 40 }), { maxLength: 4 });
    const count = fc.nat({ max: 4 });
    fc.assert(
      fc.property(count, fc.nat({ max: 48 }), runs, ends, ends, (...numbers) => {
        expect(STRICT).toContain(judge(encodeColumns(...numbers), reencode));
      }),
      { numRuns: 3000 },
    );
  });

  test("arbitrary bytes are refused or are a canonical encoding", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(STRICT).toContain(judge(Buffer.concat([Buffer.from([0x8b, 1]), bytes]), reencode));
      }),
      { numRuns: 3000 },
    );
  });
});

function arbitraryEntries(): fc.Arbitrary<Entry[]> {
  return arbitraryModel(60).map(entriesOf);
}

function encode(entries: readonly Entry[]): Uint8Array {
  const encoder = new NodeEncoder();
  for (const { key, value, links } of entries) encoder.add(key, value, links);
  return encoder.encode(0);
}

function encodeInner(entries: readonly Entry[]): Uint8Array {
  const encoder = new NodeEncoder();
  for (const { key } of entries) encoder.addChild(key, 1 + key.length, cidOf("dag-cbor", key));
  return encoder.encode(1);
}

/** A node whose columns agree in their lengths, whatever is in them. */
function encodeColumns(
  count: number,
  headBytes: number,
  runs: readonly number[],
  tailEnds: readonly number[],
  valueEnds: readonly number[],
): Uint8Array {
  const ascending = (length: number) => Uint8Array.from({ length }, (_, at) => at);
  const ends = (numbers: readonly number[]) => Array.from({ length: count }, (_, index) => numbers[index] ?? 40);
  const lastOf = (numbers: readonly number[]) => ends(numbers).at(-1) ?? 0;
  const columns = [ascending(headBytes), u32s(runs), ascending(lastOf(tailEnds)), u32s(ends(tailEnds))];
  const values = [ascending(lastOf(valueEnds)), u32s(ends(valueEnds)), new Uint8Array(count)];
  return encodeDagCbor([1, 0, count, ...columns, ...values, []]);
}

function u32s(numbers: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [index, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * index);
  return bytes;
}

function reencode(bytes: Uint8Array, like?: Node): Uint8Array {
  const node = decodeNode(bytes, like);
  const encoder = new NodeEncoder();
  for (const { key, value, links } of entriesIn(node)) encoder.add(key, value, links);
  return encoder.encode(node.level);
}

function entriesIn(node: Node): Entry[] {
  return Array.from({ length: node.count }, (_, index) => entryAt(node, index));
}

function plain({ key, value, links }: Entry) {
  return { key: Buffer.from(key).toString("hex"), value: Buffer.from(value).toString("hex"), links };
}
