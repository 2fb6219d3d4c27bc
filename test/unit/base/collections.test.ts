/** Lists of any length. */
import { expect, test } from "vitest";
import { addAll } from "../../../src/base/collections.ts";

test("more items than a call takes as arguments are appended in their order", () => {
  const many = Array.from({ length: 1_000_000 }, (_, at) => at);
  const all = [-1];
  addAll(all, many);
  expect(all).toEqual([-1, ...many]);
});
