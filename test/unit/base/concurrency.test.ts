import { expect, test } from "vitest";
import { mapConcurrent } from "../../../src/base/concurrency.ts";

test("results of concurrent work come back in order", async () => {
  const doubled = mapConcurrent([3, 1, 2], 2, async (item) => 2 * item);
  expect(await doubled).toEqual([6, 2, 4]);
});

test("nothing more is started after a failure", async () => {
  const begun: number[] = [];
  const work = async (item: number) => {
    begun.push(item);
    if (item === 1) throw new Error("failed");
  };
  await expect(mapConcurrent([0, 1, 2, 3, 4, 5, 6, 7], 2, work)).rejects.toThrow("failed");
  const atFailure = begun.length;
  await new Promise((resolve) => setImmediate(resolve));
  expect(begun.length).toBe(atFailure);
  expect(begun).not.toContain(7);
});
