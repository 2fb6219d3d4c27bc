/** The processes that a test or drill started. Once one of them has ended, its id may belong to a program of somebody else. */
import { readFileSync } from "node:fs";

export class StartedProcesses {
  /** When each started, as the kernel reports it. */
  readonly #starts = new Map<number, string>();

  add(pid: number): void {
    this.#starts.set(pid, startOf(pid));
  }

  delete(pid: number): void {
    this.#starts.delete(pid);
  }

  get running(): number[] {
    return [...this.#starts].filter(([pid, start]) => startOf(pid) === start).map(([pid]) => pid);
  }
}

/** Field 22 of /proc/PID/stat (proc(5)), after a name that may hold anything; "" where there is no such file. */
function startOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "");
    return fields.split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
