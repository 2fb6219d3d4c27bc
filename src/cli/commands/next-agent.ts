/** The time between two agents of a mount: one has ended, and the supervisor (native/supervisor.cc) is starting the next. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { isServed } from "../../agent/control.ts";
import { LOG_NAME } from "../../agent/state/log-file.ts";
import { canonicalMount, canonicalPath } from "../../agent/state/state-dir.ts";
import type { Clock } from "../../base/clock.ts";
import { orElse } from "../../base/unless.ts";
import { isIn } from "./synced-folder.ts";

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
    const [, first = "", ...rest] = textOf(`/proc/${name}/cmdline`).replace(/\0$/, "").split("\0");
    return first === log || (first === "--service" && isNamedIn(rest, mount, foldersOf(name)));
  });
}

/** Whether one of the words names this mount point, as a path that may be relative to one of the folders. */
function isNamedIn(words: readonly string[], mount: string, folders: readonly string[]): boolean {
  const paths = words.flatMap((word) => (word.includes("://") ? [] : folders.map((folder) => resolve(folder, word))));
  // Nothing in the mount is looked at: that would wait for the next agent.
  const isMeant = (path: string) => !isIn(path, mount) && [canonicalMount(path), canonicalPath(path)].includes(mount);
  return paths.includes(mount) || paths.some(isMeant);
}

/** What a process has open, and the root directory: a supervisor leaves the folder it was started in, and keeps it open. */
function foldersOf(pid: string): string[] {
  const folder = `/proc/${pid}/fd`;
  const open = orElse([], () => readdirSync(folder));
  const targets = open.map((descriptor) => orElse("", () => readlinkSync(join(folder, descriptor))));
  return ["/", ...targets.filter((path) => path.startsWith("/"))];
}

/** "" if the process has ended. */
function textOf(path: string): string {
  return orElse("", () => readFileSync(path, "utf8"));
}
