/** Lists of any length. */
import { expect, test } from "vitest";
import { addAll, inPortions } from "../../../src/base/collections.ts";

test("more items than a call takes as arguments are appended in their order", () => {
  const many = Array.from({ length: 1_000_000 }, (_, at) => at);
  const all = [-1];
  addAll(all, many);
  expect(all).toEqual([-1, ...many]);
});

test("portions have all items in their order, so many at most", () => {
  expect([...inPortions([1, 2, 3, 4, 5], 2)]).toEqual([[1, 2], [3, 4], [5]]);
  expect([...inPortions([1, 2], 2)]).toEqual([[1, 2]]);
  expect([...inPortions([], 2)]).toEqual([]);
});
