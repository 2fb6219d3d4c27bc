/** `syncline simulate --canaries`: whether the simulation detects known faults. */
import { runHistories } from "../../simulate/run.ts";
import { SABOTAGES } from "../../simulate/sabotage.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../terminal/output.ts";
import type { Runtime } from "../runtime.ts";
import { shrunkWords } from "./simulate-histories.ts";
import { printCount, printDuration } from "../terminal/text.ts";

/** Answers 1 if a fault goes undetected. */
export async function simulateCanaries({ clock }: Runtime, output: Output): Promise<ExitStatus> {
  let missed = 0;
  for (const canary of SABOTAGES) {
    const startMs = clock.monotonicMs();
    let noticedMs = 0;
    const played = () => void (noticedMs = clock.monotonicMs() - startMs);
    const { histories, failure } = await runHistories({ ...MOST, clock, seed: 1, sabotage: canary, played });
    if (failure === undefined) missed++;
    const how = failure && {
      seed: failure.seed,
      noticedMs: Math.round(noticedMs),
      actions: failure.shrunk.plan.actions.length,
      deeds: failure.shrunk.plan.actions.length,
      troubles: failure.shrunk.plan.troubles.length,
      history: failure.shrunk.outcome.trace.lines,
      violations: failure.shrunk.outcome.violations,
    };
    const many = printCount(histories + 1, "history", "histories");
    const text = failure
      ? [`${canary}: noticed after ${many}, in ${printDuration(noticedMs)}.`, ...shrunkWords(failure.shrunk), ""]
      : [`${canary}: NOT NOTICED in ${printCount(histories, "history", "histories")}.`];
    output.result({ canary, histories, noticed: how ?? null }, text.join("\n"));
  }
  return missed === 0 ? 0 : 1;
}

/** No time limit: a slow machine must detect what a fast one does. */
const MOST = { histories: 500, seconds: 0, jobs: 1 };
