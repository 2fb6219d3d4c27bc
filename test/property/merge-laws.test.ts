/** The laws of the merge over generated histories (docs/merge.md). SYNCLINE_TEST_ALL: 10,000 histories a law, and every pair. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEEDS, intents, themes } from "../support/merge-history.ts";
import { MergeWorld } from "../support/merge-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = (usual: number) => ({ numRuns: all ? 10_000 : usual });
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
        runs(150),
      );
    },
    patience,
  );

  test(
    "three writers reach the same versions in any order and any grouping",
    async () => {
      const histories = fc.record({
        theme: themes,
        base: intents(0, 4),
        sides: fc.tuple(intents(1, 6), intents(1, 6), intents(1, 6)),
      });
      await fc.assert(
        fc.asyncProperty(histories, async ({ theme, base, sides }) => {
          const world = new MergeWorld(theme);
          const start = await world.play(undefined, "b", base);
          const heads = [];
          for (const [index, side] of sides.entries()) heads.push(await world.head(start, "xyz"[index] ?? "x", side));
          await world.judgeGroupings(start, heads);
          expect(world.faults).toEqual([]);
        }),
        runs(90),
      );
    },
    patience,
  );

  test(
    "writers that publish whenever they like, from bases of any age",
    async () => {
      const turns = fc.array(fc.record({ writer: fc.nat(2), ops: intents(1, 5) }), { minLength: 3, maxLength: 7 });
      await fc.assert(
        fc.asyncProperty(themes, intents(0, 4), turns, async (theme, base, schedule) => {
          const world = new MergeWorld(theme);
          const start = await world.play(undefined, "b", base);
          await world.publishAll(start, schedule);
          expect(world.faults).toEqual([]);
        }),
        runs(60),
      );
    },
    patience,
  );

  test(
    "whatever two writers do to the same things",
    async () => {
      const world = new MergeWorld({ deeds: [0], files: [0] });
      const start = await world.play(undefined, "b", []);
      const pairs = DEEDS.flatMap((x, i) => DEEDS.map((y, j) => ({ x, y, pick: i * 7 + j })));
      for (const { x, y } of all ? pairs : pairs.filter(({ pick }) => pick % 13 === 0))
        await world.judge(start, await world.headOfDeed(start, "x", x), await world.headOfDeed(start, "y", y));
      expect(world.faults).toEqual([]);
    },
    patience,
  );
});
