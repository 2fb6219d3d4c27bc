/**
 * Several whole agents, without kernel and threads, on one bucket: caches, filesystem, overlay, publisher, merge. Agents die, the
 * bucket goes away and comes back, replies are lost. SYNCLINE_TEST_ALL: 1,000 longer histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { anyStep, World } from "../../support/agents-world.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

test(
  "agents that stop writing converge on one tree, in which nothing is lost",
  async () => {
    const steps = fc.array(anyStep, { maxLength: HEAVY ? 150 : 60, size: "max" });
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const world = await World.create();
        for (const step of all) await world.step(step);
        expect(await world.faults()).toEqual([]);
      }),
      // What fails is shrunk so long, and then told.
      { numRuns: HEAVY ? 1_000 : 25, interruptAfterTimeLimit: HEAVY ? 3_000_000 : 90_000 },
    );
  },
  HEAVY ? 3_600_000 : 120_000,
);
