/** The supervisors of mounts, as the process table shows them. */
import { readdirSync, readFileSync } from "node:fs";

/** The process that would start the next agent: a child of the first agent, and the parent of all later ones. */
export function supervisorOf(agent: number): number | undefined {
  const parent = parentOf(agent);
  if (isSupervisor(parent)) return parent;
  const ids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return ids.map(Number).find((pid) => isSupervisor(pid) && parentOf(pid) === agent);
}

/** The running agent: the supervisor's child, or the first agent, which started the supervisor. */
export function agentOf(supervisor: number, first: number): number {
  const children = textOf(`/proc/${supervisor}/task/${supervisor}/children`).trim().split(" ").filter(Boolean);
  return Number(children.at(-1) ?? first);
}

/** The nicenesses of an agent's threads. Programs wait for the one that serves, at -10 if the agent has the right to that. */
export function nicenessesOf(agent: number): ReadonlySet<number> {
  const threads = readdirSync(`/proc/${agent}/task`).map((thread) => fieldsOf(`/proc/${agent}/task/${thread}/stat`));
  return new Set(threads.map((fields) => Number(fields[16])));
}

/** kill -9 of an agent, and before it of the supervisor that would replace it. */
export function killAgent(agent: number): void {
  const supervisor = process.platform === "linux" ? supervisorOf(agent) : undefined;
  for (const pid of [supervisor, agent]) {
    try {
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    } catch {
      // The process is gone already.
    }
  }
}

function isSupervisor(pid: number): boolean {
  return textOf(`/proc/${pid}/comm`) === "syncline-superv\n";
}

/** proc(5): the name is in parentheses, then come its state and its parent. */
function parentOf(pid: number): number {
  return Number(fieldsOf(`/proc/${pid}/stat`)[1]);
}

/** What follows the name. */
function fieldsOf(stat: string): readonly string[] {
  return textOf(stat)
    .replace(/^.*\) /s, "")
    .split(" ");
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
