/** `syncline simulate`: agents on a bucket while networks, disks and processes fail; all must converge without loss. */
import type { Runtime } from "../runtime.ts";
import { type Failure, type Played, runHistories } from "../../simulate/run.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../terminal/output.ts";
import { printCount, printDuration, printText } from "../terminal/text.ts";

export interface HistoriesAsked {
  readonly seed: number;
  readonly seconds: number;
  /** Instead of `seconds`. */
  readonly histories: number | undefined;
  readonly jobs: number | undefined;
}

/** Answers 1 if a history fails, and shows the shortest one. An interrupt reports what was played so far. */
export async function simulateHistories(asked: HistoriesAsked, runtime: Runtime, output: Output): Promise<ExitStatus> {
  const { clock } = runtime;
  const startMs = clock.monotonicMs();
  const tookMs = () => Math.round(clock.monotonicMs() - startMs);
  let soFar: Played | undefined;
  let saidMs = startMs;
  const played = (now: Played) => {
    soFar = now;
    if (asked.histories === undefined || now.histories === 0 || clock.monotonicMs() - saidMs < pauseMs(tookMs()))
      return;
    saidMs = clock.monotonicMs();
    output.notice(progressOf(now, asked.histories, tookMs()));
  };
  using _ = runtime.ifInterrupted(() => soFar && report(output, asked, soFar, tookMs(), "interrupted"));
  const run = await runHistories({ ...asked, clock, played });
  report(output, asked, run, tookMs(), run.failure);
  return run.failure === undefined ? 0 : 1;
}

function report(
  output: Output,
  { seed }: HistoriesAsked,
  { histories, counts, digest }: Played,
  tookMs: number,
  end: Failure | "interrupted" | undefined,
): void {
  const failure = end === "interrupted" ? undefined : end;
  const fired = counts.entries().map(([fault, count]) => `      ${fault}: ${count}`);
  const summary = `${printCount(histories, "history", "histories")} passed, from number ${seed} on, in ${(tookMs / 1000).toFixed(1)} s.`;
  const cut = end === "interrupted" ? ["The run was interrupted."] : [];
  const lines = [summary, ...cut, "Faults injected:", ...fired, ...(failure ? wordsOf(failure) : [])];
  output.result(
    {
      seed,
      histories,
      tookMs,
      seconds: tookMs / 1000,
      perSecond: rateOf(histories, tookMs),
      interrupted: end === "interrupted",
      faults: Object.fromEntries(counts.entries()),
      digest,
      failure: failure === undefined ? null : reportOf(failure),
    },
    lines.join("\n"),
  );
}

function progressOf({ histories, counts }: Played, asked: number, tookMs: number): string {
  const left = printDuration((tookMs / histories) * (asked - histories));
  return `${histories} of ${asked} histories, ${rateOf(histories, tookMs)} a second, ${counts.total} faults. ${left} left.`;
}

function rateOf(histories: number, tookMs: number): number {
  return Math.round((histories / Math.max(tookMs, 1)) * 100_000) / 100;
}

/** Often at the start, then less and less. */
function pauseMs(tookMs: number): number {
  return Math.min(Math.max(FIRST_PAUSE_MS, tookMs / 5), LONGEST_PAUSE_MS);
}

const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;

function reportOf({ seed, violations, shrunk }: Failure) {
  const { trace, violations: left } = shrunk.outcome;
  const history = { violations: left, history: trace.lines, digest: trace.digest };
  return { seed, replay: replayOf(seed), violations, shrunk: history };
}

function wordsOf({ seed, violations, shrunk }: Failure): string[] {
  return [
    `WRONG history ${seed}:`,
    ...violations.map((line) => `      ${printText(line)}`),
    ...shrunkWords(shrunk),
    `Replay it: ${replayOf(seed)}`,
  ];
}

export function shrunkWords({ outcome }: Failure["shrunk"]): string[] {
  return [
    "The shortest history that also fails (seconds, machine, action):",
    ...outcome.trace.lines.map((line) => `      ${printText(line)}`),
    ...outcome.violations.map((line) => `      WRONG: ${printText(line)}`),
  ];
}

function replayOf(seed: number): string {
  return `syncline simulate --seed ${seed} --seconds 0`;
}
