/**
 * Who holds a lock, exactly enough to tell later whether that process is gone: a process id alone is used again, means nothing
 * on another machine or in another container, and not after a restart either.
 */
import { hostname } from "node:os";
import { failedWith } from "../base/system-errors.ts";
import { type Disk } from "./disk.ts";

export interface ProcessIdentity {
  /** The machine's id and name; the same after a restart. */
  readonly host: string;
  /** Differs after each start of the machine; "" where the system tells none. */
  readonly boot: string;
  /** The namespace in which `pid` counts; "" where there is none. */
  readonly namespace: string;
  readonly pid: number;
  /** The process's start in ticks since boot; 0 where the system does not tell. */
  readonly started: number;
}

export async function readOwnIdentity(disk: Disk): Promise<ProcessIdentity> {
  const [machine, boot, namespace, self] = await Promise.all([
    textOf(disk, "/etc/machine-id"),
    readBoot(disk),
    disk.readlink("/proc/self/ns/pid").catch(() => ""),
    processOf(disk, process.pid),
  ]);
  return { host: `${machine}/${hostname()}`, boot, namespace, pid: process.pid, started: self?.started ?? 0 };
}

/** Of random(4): differs after each start of the machine; "" where the system tells none. */
export async function readBoot(disk: Disk): Promise<string> {
  return textOf(disk, "/proc/sys/kernel/random/boot_id");
}

/**
 * Whether the process behind `holder` has certainly ended. False when it cannot be told: on another machine, in another
 * container, or (since machine ids get copied) when the lock was made after this machine's start by another boot.
 * `madeMs`: when its lock was made, in milliseconds since 1970; undefined where that cannot be told. Asked for if it matters.
 */
export async function isGone(
  disk: Disk,
  holder: ProcessIdentity,
  own: ProcessIdentity,
  madeMs: () => number | Promise<number | undefined>,
): Promise<boolean> {
  if (holder.host !== own.host) return false;
  if (holder.boot !== own.boot) {
    if (holder.boot === "" || own.boot === "") return false;
    const [bootedMs, made] = [await bootTimeMs(disk), await madeMs()];
    return bootedMs !== undefined && made !== undefined && made < bootedMs;
  }
  if (holder.namespace !== own.namespace) return false;
  const there = await processOf(disk, holder.pid);
  // Where /proc is not there, or hides other users' processes, a signal still tells.
  if (there === undefined) return !answersSignals(holder.pid);
  return there.ended || (holder.started !== 0 && there.started !== holder.started);
}

/** From /proc/<pid>/stat (proc_pid_stat(5)): state is field 3, start time field 22; the name before them may hold anything. */
async function processOf(disk: Disk, pid: number): Promise<{ started: number; ended: boolean } | undefined> {
  const stat = await textOf(disk, `/proc/${pid}/stat`);
  if (stat === "") return undefined;
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie does nothing any more; only its parent has not asked yet.
  return { started: Number(rest[18] ?? 0), ended: state === "Z" || state === "X" };
}

/** From /proc/stat (proc_stat(5)): "btime" is the time of boot in seconds since 1970. */
async function bootTimeMs(disk: Disk): Promise<number | undefined> {
  const seconds = /^btime (\d+)$/m.exec(await textOf(disk, "/proc/stat"))?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return failedWith(cause, "EPERM");
  }
}

async function textOf(disk: Disk, path: string): Promise<string> {
  try {
    return (await disk.readFile(path, "utf8")).trim();
  } catch {
    return "";
  }
}
