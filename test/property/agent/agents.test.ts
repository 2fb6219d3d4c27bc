/**
 * Several whole agents, without kernel and threads, on one bucket: caches, filesystem, overlay, publisher, merge. Agents die, the
 * bucket goes away and comes back, replies are lost. SYNCLINE_TEST_ALL: 1,000 longer histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { anyStep, anyStepWithoutRoom, World } from "../../support/agents-world.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;

/** Published at the start. */
const MUCH = [
  ...[..."123456"].flatMap((name) => [`a create shared/${name}`, `a makeDirectory shared/d${name}`]),
  ...[..."123456"].flatMap((name) => [
    `a create shared/d${name}/x`,
    `b create own-b/${name}`,
    `c create own-c/${name}`,
  ]),
  "a flush",
  "b flush",
  "c flush",
  "a flush",
  "b flush",
];

test.each([
  ["agents that stop writing converge on one tree, in which nothing is lost", anyStep, []],
  ["they do so if the bucket often has no room, and they remove much", anyStepWithoutRoom, MUCH],
])(
  "%s",
  async (_, step, begin) => {
    const steps = fc.array(step, { maxLength: HEAVY ? 150 : 60, size: "max" });
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const world = await World.create();
        await world.tell(...begin);
        for (const each of all) await world.step(each);
        expect(await world.faults()).toEqual([]);
      }),
      // What fails is shrunk so long, and then told.
      { numRuns: HEAVY ? 1_000 : 25, interruptAfterTimeLimit: HEAVY ? 3_000_000 : 90_000 },
    );
  },
  HEAVY ? 3_600_000 : 120_000,
);
