/** The worked cases of the merge: each ends as its table row says, whichever side is named first and whichever stays. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { mergeSnapshots } from "../../src/bucket/merge/merge-snapshots.ts";
import { createMergeContext } from "../support/merge-context.ts";
import { expectedPaths, listPaths, playScenario } from "../support/merge-scenario.ts";
import type { Scenario } from "../support/merge-scenario.ts";

const vectors = new URL("../vectors/merge-scenarios.json", import.meta.url);
const { scenarios } = JSON.parse(readFileSync(vectors, "utf8")) as { scenarios: readonly Scenario[] };

describe("worked merges", () => {
  test.each(scenarios.map((scenario) => [scenario.name, scenario] as const))("%s", async (_, scenario) => {
    const context = createMergeContext();
    const { base, x, y } = await playScenario(context, scenario);
    const merged = await mergeSnapshots(context, base, x, y);
    const paths = await listPaths(context, merged.tree);
    expect(paths).toEqual(expectedPaths(scenario, paths));
    expect(merged.conflicts).toHaveLength(scenario.expect.conflicts);
    expect(await mergeSnapshots(context, base, y, x)).toEqual(merged);
  });
});
