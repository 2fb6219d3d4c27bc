/**
 * Whole agents on a bucket in an object store, on simulated time, while networks, disks and processes fail. SYNCLINE_TEST_ALL: 400
 * histories; scripts/sim plays as many as one likes.
 */
import { describe, expect, test } from "vitest";
import { Beginning } from "../../src/simulate/beginning.ts";
import { FAULTS, FaultCounts } from "../../src/simulate/fault-counts.ts";
import { planOf } from "../../src/simulate/plan.ts";
import type { Plan } from "../../src/simulate/plan.ts";
import { SABOTAGES } from "../../src/simulate/sabotage.ts";
import type { Sabotage } from "../../src/simulate/sabotage.ts";
import { shrink } from "../../src/simulate/shrink.ts";
import { play } from "../../src/simulate/world.ts";

const beginning = await Beginning.make();
const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;

describe("agents on simulated machines", () => {
  test(
    "come to rest on one tree in which nothing is lost, whatever fails; and every fault does happen",
    async () => {
      const counts = new FaultCounts();
      for (let seed = 1; seed <= (all ? 400 : 15); seed++) {
        const outcome = await play(planOf(seed), beginning);
        counts.add(outcome.counts);
        expect(outcome.violations, `history ${seed}\n${outcome.trace.lines.join("\n")}`).toEqual([]);
      }
      const never = FAULTS.filter((fault) => counts.of(fault) === 0);
      expect(never).toEqual([]);
    },
    all ? 3_000_000 : 240_000,
  );

  test("repeat themselves, byte for byte", async () => {
    for (const seed of [3, 12]) {
      const [once, again] = [await play(planOf(seed), beginning), await play(planOf(seed), beginning)];
      expect(again.trace.lines).toEqual(once.trace.lines);
      expect(again.trace.digest).toBe(once.trace.digest);
    }
  }, 120_000);
});

describe("a simulation notices", () => {
  test.each(SABOTAGES)(
    "%s",
    async (sabotage) => {
      const plan = await firstWrong(sabotage);
      expect(plan, "no history went wrong").toBeDefined();
    },
    240_000,
  );

  test("and tells it in a history that is as short as it gets", async () => {
    const isWrong = async (plan: Plan) =>
      (await play(plan, beginning, "a conflict copy dropped")).violations.length > 0;
    const long = await firstWrong("a conflict copy dropped");
    const short = long && (await shrink(long, isWrong, all ? 300 : 40));
    expect(short && (await isWrong(short))).toBe(true);
    expect(short?.deeds.length).toBeLessThan(long?.deeds.length ?? 0);
  }, 480_000);
});

async function firstWrong(sabotage: Sabotage): Promise<Plan | undefined> {
  for (let seed = 1; seed <= MOST_HISTORIES; seed++)
    if ((await play(planOf(seed), beginning, sabotage)).violations.length > 0) return planOf(seed);
  return undefined;
}

const MOST_HISTORIES = 60;
