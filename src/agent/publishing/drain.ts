/** Publishes everything pending before an agent ends, as long as waiting helps. */
import type { Clock } from "../../base/clock.ts";
import type { ErrorReport, FlushReport, PendingReport } from "../reports.ts";

export interface DrainOptions {
  /** One attempt to publish everything. */
  flush(): Promise<FlushReport>;
  /** What is left, without trying to publish. */
  report(): Promise<Drained>;
  readonly clock: Clock;
  /** Whether another attempt may publish more. */
  readonly isWorthAnother?: (report: FlushReport) => boolean;
  /** When to give up, on the monotonic clock. */
  readonly endMs: number;
  /** Aborted: give up now. */
  readonly signal: AbortSignal;
}

/** What a drain left behind, and why. */
export interface Drained {
  readonly pending: PendingReport;
  readonly error: ErrorReport | null;
}

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;

/** Flushes until nothing is pending, waiting no longer helps, or the time is up. */
export async function drain(options: DrainOptions): Promise<Drained> {
  const { clock, endMs, signal, isWorthAnother = leavesWork } = options;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    const report = await inTime(options, options.flush());
    if (report === undefined) return options.report();
    if (!isWorthAnother(report) || signal.aborted || clock.monotonicMs() + pauseMs >= endMs) return report;
    await clock.sleep(pauseMs, signal).catch(() => {});
  }
}

function leavesWork({ pending, error }: FlushReport): boolean {
  return pending.files > 0 && (error === null || isPassing(error));
}

/** Whether this error passes by itself, or once the storage is back. Others persist until a person acts. */
export function isPassing({ code }: ErrorReport): boolean {
  return PASSING.has(code);
}

/** The result of `work`, or undefined if the time is up first; `work` then continues on its own. */
async function inTime<Result>(options: DrainOptions, work: Promise<Result>): Promise<Result | undefined> {
  const { clock, endMs, signal } = options;
  const done = new AbortController();
  const timeOver = clock.sleep(Math.max(0, endMs - clock.monotonicMs()), AbortSignal.any([signal, done.signal])).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([work, timeOver]);
  } finally {
    done.abort();
  }
}

const PASSING: ReadonlySet<string> = new Set([
  "arbiter_unreachable",
  "bucket_locked",
  "disk_full",
  "no_such_bucket",
  "root_moved",
  "store_failed",
  "store_unreachable",
  "time_out",
]);
