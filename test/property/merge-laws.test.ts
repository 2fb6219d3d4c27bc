/** The laws of the merge over generated histories (docs/merge.md). SYNCLINE_TEST_ALL: 10,000 histories a law, and every pair. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { faultsOfPairs, lawsOfSeveral } from "../support/law-suite.ts";
import { intents, PLAIN, themes } from "../support/merge-history.ts";
import { MergeWorld } from "../support/merge-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = (usual: number) => (all ? 10_000 : usual);
const patience = all ? 3_600_000 : 60_000;

describe("laws of the merge", () => {
  test(
    "two writers: commutative, idempotent, nothing lost, nothing back, intentions kept, valid",
    async () => {
      const histories = fc.record({
        theme: themes,
        base: intents(0, 4),
        before: intents(1, 6),
        x: intents(1, 8),
        y: intents(1, 8),
      });
      await fc.assert(
        fc.asyncProperty(histories, async ({ theme, base, before, x, y }) => {
          const world = new MergeWorld(theme);
          const start = await world.play(undefined, "b", base);
          const again = (
            await world.merge(start, await world.head(start, "p", before), await world.head(start, "q", x))
          ).tree;
          await world.judge(start, await world.head(start, "x", x), await world.head(start, "y", y));
          await world.judge(again, await world.head(again, "x", y), await world.head(again, "y", before));
          expect(world.faults).toEqual([]);
        }),
        { numRuns: runs(150) },
      );
    },
    patience,
  );

  lawsOfSeveral({ setting: PLAIN, most: 4, groupings: runs(90), schedules: runs(60), patience });

  test(
    "whatever two writers do to the same things",
    async () => expect(await faultsOfPairs(PLAIN, PLAIN.deeds, all ? 1 : 13)).toEqual([]),
    patience,
  );
});
