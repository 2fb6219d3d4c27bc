/** Batches keep all items in order, are within both bounds, and none has room for the first item of the next. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { inBatches } from "../../../src/base/collections.ts";

test("batches have all items in order, as many in each as its bounds allow", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(12)), fc.nat(20), fc.option(fc.integer({ min: 1, max: 4 })), (sizes, bytes, items) => {
      const most = { bytes, ...(items !== null && { items }) };
      const batches = [...inBatches(sizes, (size) => size, most)];
      expect(batches.flat()).toEqual(sizes);
      const sum = (batch: readonly number[]) => batch.reduce((total, size) => total + size, 0);
      const isHeld = (batch: readonly number[]) => sum(batch) <= bytes && batch.length <= (items ?? Infinity);
      expect(batches.filter((batch) => batch.length > 1 && !isHeld(batch))).toEqual([]);
      const early = batches.slice(0, -1).filter((batch, at) => isHeld([...batch, batches[at + 1]?.[0] ?? 0]));
      expect(early).toEqual([]);
    }),
  );
});
