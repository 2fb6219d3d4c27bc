/** The laws of the merge over generated histories (docs/design/merge.md). SYNCLINE_TEST_ALL: 1,000 histories a law, or as many as it says, and every pair. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ALL, faultsOfPairs, lawsOfSeveral, PATIENCE_MS, runs } from "../../../support/law-suite.ts";
import { intents, PLAIN, themes } from "../../../support/merge-history.ts";
import { MergeWorld } from "../../../support/merge-world.ts";

describe("laws of the merge", () => {
  test(
    "two writers: commutative, idempotent, nothing lost, nothing deleted comes back, intentions kept, valid",
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
    PATIENCE_MS,
  );

  lawsOfSeveral({ setting: PLAIN, most: 4, groupings: 90, schedules: 60 });

  test(
    "hold for pairs of actions of two writers on the same objects",
    async () => expect(await faultsOfPairs(PLAIN, PLAIN.actions, ALL ? 1 : 13)).toEqual([]),
    PATIENCE_MS,
  );
});
