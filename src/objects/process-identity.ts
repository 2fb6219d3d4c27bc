/**
 * Identifies a lock's holder well enough to tell later whether that process is gone. A process id alone is not enough: it
 * is reused, and means nothing on another machine, in another container, or after a restart.
 */
import { hostname } from "node:os";
import { failedWith } from "../base/system-errors.ts";
import { type Disk } from "./disk.ts";

export interface ProcessIdentity {
  /** The machine's id and name; the same after a restart. */
  readonly host: string;
  /** Changes with each boot; "" if unknown. */
  readonly boot: string;
  /** The namespace of `pid`; "" if there is none. */
  readonly namespace: string;
  readonly pid: number;
  /** When the process started, in ticks since boot; 0 if unknown. */
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

/** From random(4): changes with each boot; "" if unknown. */
export async function readBoot(disk: Disk): Promise<string> {
  return textOf(disk, "/proc/sys/kernel/random/boot_id");
}

/**
 * Whether the process behind `holder` has certainly ended. False if unknown: on another machine, in another container, or
 * (since machine ids get copied) if another boot made the lock after this machine's start. `madeMs`: when the lock was
 * made, in milliseconds since 1970; undefined if unknown. Called only if needed.
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
  // Where /proc is missing, or hides other users' processes, signals still tell.
  if (there === undefined) return !answersSignals(holder.pid);
  return there.ended || (holder.started !== 0 && there.started !== holder.started);
}

/** From /proc/<pid>/stat (proc_pid_stat(5)): state is field 3, start time field 22; the name before may hold anything. */
async function processOf(disk: Disk, pid: number): Promise<{ started: number; ended: boolean } | undefined> {
  const stat = await textOf(disk, `/proc/${pid}/stat`);
  if (stat === "") return undefined;
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie has ended; its parent just has not collected its status.
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
