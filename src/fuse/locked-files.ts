/** Files that programs have locked. The kernel keeps the locks by itself, and tells of them in /proc/locks (proc(5)). */
import { readFileSync } from "node:fs";
import type { Ino } from "../base/ids.ts";

/** `device`: the mount's, as in the mount table. Empty if it or the table cannot be read. */
export function lockedFiles(device: string | undefined): ReadonlySet<Ino> {
  if (device === undefined) return new Set();
  try {
    return parseLocks(readFileSync("/proc/locks", "latin1"), device);
  } catch {
    return new Set();
  }
}

/**
 * The files of the device that are locked as a whole, by flock(2), or to write. Shared locks of ranges are those of programs
 * that read a database: for them, one version counts.
 */
export function parseLocks(text: string, device: string): ReadonlySet<Ino> {
  const number = device
    .split(":")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join(":");
  const locked = new Set<Ino>();
  for (const line of text.split("\n")) {
    const [, type, mode, place, ino] = /^\d+: (?:-> )?(\S+) +\S+ +(\S+) \S+ (\S+:\S+):(\d+) /.exec(line) ?? [];
    if (place === number && (type === "FLOCK" || mode === "WRITE")) locked.add(Number(ino) as Ino);
  }
  return locked;
}
