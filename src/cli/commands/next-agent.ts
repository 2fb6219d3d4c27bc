/** The time between two agents of a mount: one has ended, and the supervisor (native/supervisor.cc) is starting the next. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isServed } from "../../agent/control.ts";
import { LOG_NAME } from "../../agent/state/log-file.ts";
import type { Clock } from "../../base/clock.ts";

/** A supervisor's name in /proc/PID/comm (proc_pid_comm(5)). */
const SUPERVISOR = "syncline-superv\n";
const PATIENCE_MS = 10_000;
const LOOK_MS = 50;

export interface Supervised {
  readonly stateDir: string;
  readonly mount: string;
}

/** Waits while a supervisor starts the next agent. Resolves to whether one serves: to false immediately if there is no supervisor. */
export async function nextAgentServes(state: Supervised, clock: Clock): Promise<boolean> {
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  while (isSupervised(state) && clock.monotonicMs() < endMs) {
    await clock.sleep(LOOK_MS);
    if (await isServed(state.stateDir)) return true;
  }
  return false;
}

function isSupervised({ stateDir, mount }: Supervised): boolean {
  if (process.platform !== "linux") return false;
  const log = join(stateDir, LOG_NAME);
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name) || textOf(`/proc/${name}/comm`) !== SUPERVISOR) return false;
    const [, first = "", ...rest] = textOf(`/proc/${name}/cmdline`).split("\0");
    return first === log || (first === "--service" && rest.includes(mount));
  });
}

/** "" if the process has ended. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
