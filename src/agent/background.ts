/** Background work: runs with the calling thread's priority lowered, then raises it again. */
import { getPriority, setPriority } from "node:os";
import { BACKGROUND_NICENESS } from "../base/limits.ts";

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

const LOWEST = 19;
const HIGHEST = -20;

/** On Linux 0 is the calling thread alone (setpriority(2)); elsewhere it would be the process. */
function mayRaise(): boolean {
  if (process.platform !== "linux") return false;
  const niceness = getPriority(0);
  try {
    setPriority(0, Math.max(niceness - 1, HIGHEST));
    setPriority(0, niceness);
    return true;
  } catch {
    return false;
  }
}
