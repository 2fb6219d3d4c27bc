/**
 * Priorities of the calling thread. On Linux 0 names it alone (setpriority(2)); elsewhere it would be the whole process, whose
 * priority stays as it is.
 */
import { getPriority, setPriority } from "node:os";
import { BACKGROUND_NICENESS, SERVING_NICENESS } from "../base/limits.ts";
import { orElse } from "../base/unless.ts";

/** Runs synchronous `work` at low priority, or at the current one if the thread could not raise it again. */
export type RunLow = <Result>(work: () => Result) => Result;

export function createRunLow(): RunLow {
  if (!mayRaise()) return (work) => work();
  return (work) => {
    const niceness = getPriority(0);
    setPriority(0, Math.min(niceness + BACKGROUND_NICENESS, LOWEST));
    try {
      return work();
    } finally {
      setPriority(0, niceness);
    }
  };
}

/**
 * For a thread that programs wait for: before the others, if the process has the right to. `usual`: the process whose niceness
 * the others have; absent: the thread has it now.
 */
export function serveFirst(usual = 0): void {
  bestEffort(() => setPriority(0, Math.min(getPriority(usual), SERVING_NICENESS)));
}

/** Gives a thread (0: the calling one) or a process of one thread the niceness that another process has in its main thread. */
export function copyNiceness(from: number, to: number): void {
  bestEffort(() => setPriority(to, getPriority(from)));
}

/** For a thread that nobody waits for. */
export function runLast(): void {
  if (process.platform === "linux") setPriority(0, LOWEST);
}

const LOWEST = 19;
const HIGHEST = -20;

function bestEffort(work: () => void): void {
  try {
    if (process.platform === "linux") work();
  } catch {
    // Then the niceness stays as it is.
  }
}

function mayRaise(): boolean {
  if (process.platform !== "linux") return false;
  const niceness = getPriority(0);
  return orElse(false, () => {
    setPriority(0, Math.max(niceness - 1, HIGHEST));
    setPriority(0, niceness);
    return true;
  });
}
