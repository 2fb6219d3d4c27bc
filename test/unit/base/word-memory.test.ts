import { expect, test } from "vitest";
import { DigestTable } from "../../../src/base/digest-table.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import { sortByKey, WordMemory, WordRecords } from "../../../src/base/word-memory.ts";

test("taking more than the limit is an error with a code, and what was released can be taken again", () => {
  const memory = new WordMemory(4_000);
  const taken = memory.take(600);
  expect(() => memory.take(401)).toThrow(SynclineError);
  expect(() => memory.take(401)).toThrow(expect.objectContaining({ code: "limit_exceeded" }));
  expect(memory.bytes).toBe(2_400);
  memory.release(taken);
  expect(memory.take(1_000)).toHaveLength(1_000);
});

test("memory that the system cannot give is an error with the same code", () => {
  const memory = new WordMemory();
  expect(() => memory.take(2 ** 52)).toThrow(expect.objectContaining({ code: "limit_exceeded" }));
  expect(memory.bytes).toBe(0);
});

test("a table that reaches the limit keeps what it has", () => {
  const table = new DigestTable(new WordMemory(1_000_000), 1);
  const digestOf = (index: number) => Buffer.alloc(32, `${index} `);
  let count = 0;
  expect(() => {
    for (; count < 100_000; count++) table.add(digestOf(count));
  }).toThrow(expect.objectContaining({ code: "limit_exceeded" }));
  expect(table.size).toBe(count);
  expect(table.find(digestOf(count - 1))).toBe(count - 1);
  expect(table.find(digestOf(count))).toBe(-1);
});

test("records keep their words, however many there are", () => {
  const memory = new WordMemory();
  const records = new WordRecords(memory, 3);
  const numbers = Array.from({ length: 20_000 }, () => records.add());
  for (const record of numbers) records.set(record, 2, 2 ** 32 - 1 - record);
  expect(numbers.map((record) => records.get(record, 2))).toEqual(numbers.map((_, at) => 2 ** 32 - 1 - at));
  expect(new Set(numbers.map((record) => records.get(record, 1)))).toEqual(new Set([0]));
  records.clear();
  expect([records.size, memory.bytes]).toEqual([0, 0]);
});

test("numbers are sorted by their keys, and those of one key stay in order", () => {
  const keys = [2, 0, 2, 1, 0, 2];
  const { order, ends } = sortByKey(new WordMemory(), keys.length, 4, (number) => keys[number] ?? 0);
  expect([...order]).toEqual([1, 4, 3, 0, 2, 5]);
  expect([...ends]).toEqual([2, 3, 6, 6]);
});
