/** `syncline simulate`: agents on a bucket, while networks, disks and processes fail; everything must end on one tree, nothing lost. */
import type { Runtime } from "./runtime.ts";
import { runHistories } from "../simulate/run.ts";
import type { Failure } from "../simulate/run.ts";
import type { ExitStatus } from "./exit-status.ts";
import type { Output } from "./output.ts";
import { printCount, printText } from "./text.ts";

export interface HistoriesAsked {
  readonly seed: number;
  readonly seconds: number;
}

/** Answers 1 when a history goes wrong, and shows the shortest one that does. */
export async function simulateHistories(
  { seed, seconds }: HistoriesAsked,
  runtime: Runtime,
  output: Output,
): Promise<ExitStatus> {
  const startMs = runtime.clock.monotonicMs();
  const { histories, counts, failure } = await runHistories(runtime.clock, seed, seconds);
  const faults = Object.fromEntries(counts.entries());
  const tookMs = Math.round(runtime.clock.monotonicMs() - startMs);
  const fired = counts.entries().map(([fault, count]) => `      ${fault}: ${count}`);
  const summary = `${printCount(histories, "history", "histories")} from number ${seed} on went well, in ${(tookMs / 1000).toFixed(1)} s.`;
  const lines = [summary, "What went wrong in them:", ...fired, ...(failure === undefined ? [] : wordsOf(failure))];
  output.result(
    { seed, histories, tookMs, faults, failure: failure === undefined ? null : reportOf(failure) },
    lines.join("\n"),
  );
  return failure === undefined ? 0 : 1;
}

function reportOf({ seed, violations, shrunk }: Failure) {
  const { trace, violations: left } = shrunk.outcome;
  return { seed, violations, shrunk: { violations: left, history: trace.lines, digest: trace.digest } };
}

function wordsOf({ seed, violations, shrunk }: Failure): string[] {
  return [
    `WRONG history ${seed}:`,
    ...violations.map((line) => `      ${printText(line)}`),
    "The shortest that goes wrong, too (seconds, machine, what it did):",
    ...shrunk.outcome.trace.lines.map((line) => `      ${printText(line)}`),
    ...shrunk.outcome.violations.map((line) => `      WRONG: ${printText(line)}`),
    `Play it again: syncline simulate --seed ${seed} --seconds 0`,
  ];
}
