/**
 * The worked cases of the merge, those of the rules and those where their edges meet: each ends as its table row says, and
 * holds all laws, whichever side is named first and whichever stays.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compareAttributes } from "../../../../src/simulate/scenarios/scenario-attributes.ts";
import { expectedPaths, parseScenarios } from "../../../../src/simulate/scenarios/scenario.ts";
import type { Scenario } from "../../../../src/simulate/scenarios/scenario.ts";
import { listPaths, playScenario } from "../../../support/merge-scenario.ts";
import { MergeWorld } from "../../../support/merge-world.ts";

describe("worked merges", () => {
  test.each(scenariosOf("merge-scenarios.json"))("%s", async (_, scenario) => {
    const { ended, expected } = await play(scenario);
    expect(ended).toEqual(expected);
  });
});

describe("merges at the edges of the rules", () => {
  test.each(scenariosOf("merge-edges.json"))("%s", async (_, scenario) => {
    const { ended, expected } = await play(scenario);
    expect(ended).toEqual(expected);
  });
});

interface Ending {
  readonly paths: Readonly<Record<string, string>>;
  readonly conflicts: number;
  readonly faults: readonly string[];
}

async function play(scenario: Scenario): Promise<{ ended: Ending; expected: Ending }> {
  const world = new MergeWorld({ actions: [0], files: [0] });
  const { base, x, y } = await playScenario(world.context, scenario);
  const { tree, conflicts } = await world.judge(base, x, y);
  const paths = await listPaths(world.context, tree);
  const attributes = await compareAttributes(world.context, tree, scenario);
  return {
    ended: { paths: { ...paths, ...attributes.got }, conflicts: conflicts.length, faults: world.faults },
    expected: {
      paths: { ...expectedPaths(scenario, paths), ...attributes.expected },
      conflicts: scenario.expect.conflicts,
      faults: [],
    },
  };
}

function scenariosOf(file: string): [string, Scenario][] {
  const url = new URL(`../../../vectors/${file}`, import.meta.url);
  return parseScenarios(readFileSync(url, "utf8")).map((scenario) => [scenario.name, scenario]);
}
