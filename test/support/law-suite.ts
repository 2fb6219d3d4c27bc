/** The laws that several writers can break, as properties: for plain files and for units alike. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { intents, themesOf } from "./merge-history.ts";
import type { Setting } from "./merge-history.ts";
import { MergeWorld } from "./merge-world.ts";

const asked = process.env["SYNCLINE_TEST_ALL"];
export const ALL = asked !== undefined;
/** Deadlines, far above the expected times. */
export const PATIENCE_MS = ALL ? 24 * 3_600_000 : 60_000;

/** How many histories a law is tried on. `SYNCLINE_TEST_ALL=N`, N from 2 on: N; any other value: 1,000, which take minutes. */
export function runs(usual: number): number {
  if (!ALL) return usual;
  return Number(asked) > 1 ? Number(asked) : 1_000;
}

export interface LawSuite {
  readonly setting: Setting;
  /** The most operations in the base. */
  readonly most: number;
  /** Numbers of histories in a plain run: three concurrent writers, and writers that publish at any time. */
  readonly groupings: number;
  readonly schedules: number;
}

export function lawsOfSeveral({ setting, most, groupings, schedules }: LawSuite): void {
  const some = (minLength: number, maxLength: number) => intents(minLength, maxLength, setting);
  const themes = themesOf(setting);

  test(
    "three writers converge on the same versions in any order and any grouping",
    async () => {
      const sides = fc.tuple(some(1, 6), some(1, 6), some(1, 6));
      await fc.assert(
        fc.asyncProperty(themes, some(0, most), sides, async (theme, base, all) => {
          const world = new MergeWorld(theme);
          const start = await world.play(undefined, "b", base);
          const heads = [];
          for (const [index, side] of all.entries()) heads.push(await world.head(start, "xyz"[index] ?? "x", side));
          await world.judgeGroupings(start, heads);
          expect(world.faults).toEqual([]);
        }),
        { numRuns: runs(groupings) },
      );
    },
    PATIENCE_MS,
  );

  test(
    "hold for three to five writers that publish at any time, from bases of any age",
    async () => {
      const turns = fc.array(fc.record({ writer: fc.nat(4), ops: some(1, 5) }), { minLength: 3, maxLength: 7 });
      await fc.assert(
        fc.asyncProperty(themes, some(0, most), turns, async (theme, base, schedule) => {
          const world = new MergeWorld(theme);
          const start = await world.play(undefined, "b", base);
          await world.publishAll(start, schedule);
          expect(world.faults).toEqual([]);
        }),
        { numRuns: runs(schedules) },
      );
    },
    PATIENCE_MS,
  );
}

/** The laws violated by two writers acting on the same objects: every pair of actions, or every `step`-th. */
export async function faultsOfPairs(
  setting: Setting,
  actions: Setting["actions"],
  step: number,
): Promise<readonly string[]> {
  const world = new MergeWorld({ actions: [0], files: [0], setting });
  const start = await world.play(undefined, "b", []);
  const pairs = actions.flatMap((x, i) => actions.map((y, j) => ({ x, y, pick: i * 7 + j })));
  for (const { x, y } of pairs.filter(({ pick }) => pick % step === 0))
    await world.judge(start, await world.headOfAction(start, "x", x), await world.headOfAction(start, "y", y));
  return world.faults;
}
