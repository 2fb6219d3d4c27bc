/** Plays histories of one number after the other, until time is up or one goes wrong. */
import type { Clock } from "../base/clock.ts";
import { Beginning } from "./beginning.ts";
import { FaultCounts } from "./fault-counts.ts";
import { planOf } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { play } from "./world.ts";
import type { Outcome } from "./world.ts";

export interface Run {
  /** How many went well. */
  readonly histories: number;
  readonly counts: FaultCounts;
  readonly failure: Failure | undefined;
}

export interface Failure {
  readonly seed: number;
  /** What did not hold in the whole history. */
  readonly violations: readonly string[];
  /** The shortest that goes wrong, too. */
  readonly shrunk: { readonly plan: Plan; readonly outcome: Outcome };
}

/** At least one history, from number `seed` on. `played` is told after each. */
export async function runHistories(
  clock: Clock,
  seed: number,
  seconds: number,
  played: (histories: number) => void = () => {},
): Promise<Run> {
  const counts = new FaultCounts();
  const beginning = await Beginning.make();
  const endMs = clock.monotonicMs() + seconds * 1000;
  let histories = 0;
  do {
    const plan = planOf(seed + histories);
    const { violations, counts: fired } = await play(plan, beginning);
    counts.add(fired);
    if (violations.length > 0) {
      const shortest = await shrink(plan, async (shorter) => (await play(shorter, beginning)).violations.length > 0);
      const shrunk = { plan: shortest, outcome: await play(shortest, beginning) };
      return { histories, counts, failure: { seed: plan.seed, violations, shrunk } };
    }
    played(++histories);
  } while (clock.monotonicMs() < endMs);
  return { histories, counts, failure: undefined };
}
