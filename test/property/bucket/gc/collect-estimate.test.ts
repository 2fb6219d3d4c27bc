/** A collection does what its dry run said, and never makes a bucket larger. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ESTIMATE_ERROR_BYTES } from "../../../../src/bucket/gc/estimate.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { noise } from "../../../support/bytes.ts";
import { collectIn, faultsOf, HOUR_MS, Hours, newStore, opened } from "../../../support/collected-store.ts";

const anyWrite = fc.record({
  file: fc.nat({ max: 5 }),
  bytes: fc.oneof(fc.nat({ max: 4_000 }), fc.nat({ max: 200_000 })),
  laterMs: fc.oneof(fc.nat({ max: 60_000 }), fc.nat({ max: 30 * HOUR_MS })),
});

async function sizeOf(store: ObjectStore): Promise<{ objects: number; bytes: number }> {
  let [objects, bytes] = [0, 0];
  for await (const { size } of store.list("")) {
    objects++;
    bytes += size;
  }
  return { objects, bytes };
}

test("a collection does what its dry run said, within the stated error, and never makes a bucket larger", async () => {
  let [acted, declined] = [0, 0];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(anyWrite, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 3 }),
      async (rounds) => {
        const hours = new Hours();
        const store = await newStore(hours);
        const agent = await opened(store, hours);
        let seed = 0;
        for (const writes of rounds) {
          for (const { file, bytes, laterMs } of writes) {
            await agent.put(`f${file}`, noise(bytes, ++seed));
            hours.ms += laterMs;
          }
          const before = await sizeOf(store);
          const dry = await collectIn(store, hours, { dryRun: true });
          expect(await sizeOf(store)).toEqual(before);
          const report = await collectIn(store, hours, {});
          const after = await sizeOf(store);
          expect(after.bytes).toBeLessThanOrEqual(before.bytes);
          expect(report.bytes).toEqual({ before: before.bytes, after: after.bytes });
          // But for the digits of the root's number.
          expect(Math.abs(report.freedBytes - (before.bytes - after.bytes))).toBeLessThan(16);
          expect(Math.abs(after.bytes - dry.bytes.after)).toBeLessThanOrEqual(ESTIMATE_ERROR_BYTES);
          expect(Math.abs(report.repackedBytes - dry.repackedBytes)).toBeLessThanOrEqual(ESTIMATE_ERROR_BYTES);
          const { objects, commits, dropped, isWorth, completed } = report;
          expect(objects).toEqual({ before: before.objects, after: after.objects });
          expect({ objects, commits, dropped, isWorth, completed }).toEqual({
            objects: dry.objects,
            commits: dry.commits,
            dropped: dry.dropped,
            isWorth: dry.isWorth,
            completed: dry.completed,
          });
          expect(await faultsOf(store, hours)).toEqual([]);
          if (isWorth) acted++;
          else declined++;
        }
      },
    ),
    { numRuns: 12 },
  );
  expect(acted).toBeGreaterThan(0);
  expect(declined).toBeGreaterThan(0);
}, 240_000);
