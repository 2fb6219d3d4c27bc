/**
 * The worked cases of the merge, those of the rules and those where their edges meet: each ends as its table row says, and
 * holds all laws, whichever side is named first and whichever stays.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expectedPaths, listPaths, playScenario } from "../support/merge-scenario.ts";
import type { Scenario } from "../support/merge-scenario.ts";
import { MergeWorld } from "../support/merge-world.ts";

describe("worked merges", () => {
  test.each(scenariosOf("merge-scenarios.json"))("%s", (_, scenario) => endsAsExpected(scenario));
});

describe("merges at the edges of the rules", () => {
  test.each(scenariosOf("merge-edges.json"))("%s", (_, scenario) => endsAsExpected(scenario));
});

async function endsAsExpected(scenario: Scenario): Promise<void> {
  const world = new MergeWorld({ deeds: [0], files: [0] });
  const { base, x, y } = await playScenario(world.context, scenario);
  const merged = await world.judge(base, x, y);
  const paths = await listPaths(world.context, merged.tree);
  expect(paths).toEqual(expectedPaths(scenario, paths));
  expect(merged.conflicts).toHaveLength(scenario.expect.conflicts);
}

function scenariosOf(file: string): [string, Scenario][] {
  const url = new URL(`../vectors/${file}`, import.meta.url);
  const { scenarios } = JSON.parse(readFileSync(url, "utf8")) as { scenarios: readonly Scenario[] };
  return scenarios.map((scenario) => [scenario.name, scenario]);
}
