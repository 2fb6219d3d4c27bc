/** The table of digests against a Map: what was put is found, under numbers in the order of adding. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DigestTable } from "../../../src/base/digest-table.ts";
import { WordMemory } from "../../../src/base/word-memory.ts";

/** Many share their first word, and some the second, too: they meet in the same slots. */
const anyDigest = fc.tuple(fc.constantFrom(0, 1, 0xff_ff_ff_ff), fc.nat(3), fc.nat(40)).map(([first, second, rest]) => {
  const digest = Buffer.alloc(32, rest);
  digest.writeUInt32BE(first, 0);
  digest.writeUInt32BE(second * 0x55_55_55_55, 4);
  return digest;
});

const anyStep = fc.record({
  digest: anyDigest,
  what: fc.constantFrom("add" as const, "add" as const, "set" as const, "find" as const),
  value: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

type Step = typeof anyStep extends fc.Arbitrary<infer One> ? One : never;

/** The number that a step gives, or -1. */
function inTable(table: DigestTable, { digest, what, value }: Step): number {
  if (what === "add") return table.add(digest);
  const number = table.find(digest);
  if (what === "set" && number >= 0) table.set(number, 1, value);
  return number;
}

/** As `inTable`. */
function inMap(map: Map<string, { number: number; value: number }>, { digest, what, value }: Step): number {
  const key = digest.toString("hex");
  if (what === "add" && !map.has(key)) map.set(key, { number: map.size, value: 0 });
  const known = map.get(key);
  if (what === "set" && known !== undefined) known.value = value;
  return known?.number ?? -1;
}

test("a table finds what a Map finds, in the same order", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 400 }), (steps) => {
      const table = new DigestTable(new WordMemory(), 2);
      const map = new Map<string, { number: number; value: number }>();
      expect(steps.map((step) => inTable(table, step))).toEqual(steps.map((step) => inMap(map, step)));
      const shown = (number: number) => Buffer.from(table.digestOf(number)).toString("hex");
      const numbers = Array.from({ length: table.size }, (_, number) => number);
      expect(numbers.map((number) => [shown(number), table.get(number, 0), table.get(number, 1)])).toEqual(
        Array.from(map, ([key, { value }]) => [key, 0, value]),
      );
      expect(Array.from(table.sorted(), shown)).toEqual([...map.keys()].sort());
    }),
  );
});

test("a table that has grown many times finds everything", () => {
  const memory = new WordMemory();
  const table = new DigestTable(memory, 1);
  const digestOf = (index: number) => {
    const digest = Buffer.alloc(32);
    // Odd factors spread the words, as hashes do.
    for (let word = 0; word < 8; word++)
      digest.writeUInt32BE(Math.imul(index + 1, 0x9e_37_79_b1 + 2 * word) >>> 0, 4 * word);
    return digest;
  };
  const numbers = Array.from({ length: 90_000 }, (_, number) => number);
  for (const number of numbers) table.set(table.add(digestOf(number)), 0, number);
  expect(table.size).toBe(numbers.length);
  const wrong = (number: number) => table.find(digestOf(number)) !== number || table.get(number, 0) !== number;
  expect(numbers.filter(wrong)).toEqual([]);
  expect(table.find(digestOf(numbers.length))).toBe(-1);
  const sorted = Array.from(table.sorted(), (number) => Buffer.from(table.digestOf(number)));
  expect(sorted).toHaveLength(numbers.length);
  expect(sorted.filter((digest, at) => Buffer.compare(sorted[at - 1] ?? Buffer.alloc(0), digest) >= 0)).toEqual([]);
  // A digest and a word, and two thirds of the hash table's slots are taken.
  expect(memory.bytes / numbers.length).toBeLessThan(32 + 4 + 6);
});
