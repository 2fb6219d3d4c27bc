/** `syncline simulate`: tests in memory what agents do together. */
import { command } from "../command.ts";

export const register = command({
  name: "simulate",
  summary: "play agents and merges in memory while everything fails, and check the outcome",
  options: ["seed", "seconds", "histories", "jobs", "canaries", "scenarios"],
  examples: [
    "syncline simulate --seconds 60",
    "syncline simulate --seed 17 --seconds 0",
    "syncline simulate --scenarios merges.json --json",
  ],
  async run(call) {
    const { scenarios, seed, seconds, histories, jobs, canaries } = call.options;
    if (scenarios !== undefined)
      return (await import("./simulate-scenarios.ts")).simulateScenarios(scenarios, call.output);
    if (canaries === true) return (await import("./simulate-canaries.ts")).simulateCanaries(call.runtime, call.output);
    const first = seed ?? Math.floor(call.runtime.random.fraction() * SEEDS);
    const asked = { seed: first, seconds: seconds ?? DEFAULT_SECONDS, histories, jobs };
    return (await import("./simulate-histories.ts")).simulateHistories(asked, call.runtime, call.output);
  },
});

const DEFAULT_SECONDS = 10;
const SEEDS = 1_000_000_000;
