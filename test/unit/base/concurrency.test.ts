import { expect, test } from "vitest";
import { mapConcurrent, untilAborted } from "../../../src/base/concurrency.ts";

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

test("an interrupted wait ends at once, and a later failure of the awaited work is ignored", async () => {
  const abort = new AbortController();
  let fail: (error: Error) => void = () => {};
  const waiting = untilAborted(new Promise<void>((_, reject) => (fail = reject)), abort.signal);
  abort.abort(new Error("interrupted"));
  await expect(waiting).rejects.toThrow("interrupted");
  fail(new Error("too late"));
  await expect(untilAborted(Promise.resolve(7), new AbortController().signal)).resolves.toBe(7);
  await expect(untilAborted(Promise.resolve(7), abort.signal)).rejects.toThrow("interrupted");
});
