/** How far contents are fetched ahead of a reader. */
import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { READ_AHEAD_MAX_BYTES } from "../../../src/base/limits.ts";
import { ReadAhead } from "../../../src/vfs/read-ahead.ts";

const INO = 7 as Ino;
const MiB = 1024 * 1024;
const SIZE = 200 * MiB;

/** Reads of 1 MiB, by their numbers; returns what was fetched ahead. */
function fetchedBy(ahead: ReadAhead, numbers: readonly number[]) {
  return numbers.flatMap((at) => ahead.next(INO, at * MiB, (at + 1) * MiB, SIZE) ?? []);
}

function sum(ranges: readonly { readonly from: number; readonly to: number }[]): number {
  return ranges.reduce((total, { from, to }) => total + to - from, 0);
}

test("for a sequential reader, everything is fetched once, in growing ranges", () => {
  const ranges = fetchedBy(new ReadAhead(), [...Array(200).keys()]);
  expect(ranges.at(-1)?.to).toBe(SIZE);
  for (const [index, { from }] of ranges.slice(1).entries())
    expect(from).toBeGreaterThanOrEqual(ranges[index]?.to ?? SIZE);
  expect(Math.max(...ranges.map(({ from, to }) => to - from))).toBe(READ_AHEAD_MAX_BYTES);
});

test("reads that arrive out of order, or twice, count as one reader", () => {
  const order = [...Array(40).keys()].flatMap((group) => [4, 1, 3, 0, 2, 3, 4].map((at) => group * 5 + at));
  expect(sum(fetchedBy(new ReadAhead(), order))).toBeGreaterThan(0.9 * SIZE);
});

test("nothing is fetched ahead for a reader that jumps", () => {
  expect(fetchedBy(new ReadAhead(), [0, 90, 30, 150, 60])).toEqual([]);
  const small = new ReadAhead();
  const jumps = [5, 1, 9, 3, 7].map((at) => small.next(INO, at * MiB, at * MiB + 4096, SIZE));
  expect(jumps).toEqual(jumps.map(() => undefined));
});

test("a read that is repeated, since its blocks had to arrive first, counts once", () => {
  const ahead = new ReadAhead();
  const read = (from: number, to: number) => ahead.next(INO, from, to, SIZE);
  for (const at of [30, 70, 10, 55])
    for (let times = 0; times < 3; times++) expect(read(at * MiB, at * MiB + 4096)).toBe(undefined);
  expect(read(55 * MiB + 4096, 55 * MiB + 8192)).toMatchObject({ from: 55 * MiB + 8192 });
});

test("a range that could not be fetched yet is asked for again", () => {
  const ahead = new ReadAhead();
  const [first] = fetchedBy(ahead, [0, 1]);
  ahead.again(INO, first?.from ?? Number.NaN);
  expect(fetchedBy(ahead, [2])[0]?.from).toBe(3 * MiB);
});

test("concurrent readers share the farthest distance, and one that goes on alone has all of it again", () => {
  const ahead = new ReadAhead();
  const fetched = (ino: number, at: number) => {
    const range = ahead.next(ino as Ino, at * MiB, (at + 1) * MiB, SIZE);
    return range === undefined ? 0 : range.to - range.from;
  };
  const among: number[] = [];
  for (let at = 0; at < 60; at++) for (let reader = 1; reader <= 8; reader++) among.push(fetched(reader, at));
  expect(Math.max(...among.slice(-200))).toBe(READ_AHEAD_MAX_BYTES / 8);
  expect(sum([...Array(140).keys()].map((at) => ({ from: 0, to: fetched(1, 60 + at) })))).toBeGreaterThan(100 * MiB);
  const alone = new ReadAhead();
  const ranges = fetchedBy(alone, [...Array(100).keys()]);
  expect(Math.max(...ranges.map(({ from, to }) => to - from))).toBe(READ_AHEAD_MAX_BYTES);
});
