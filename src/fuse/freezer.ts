/** Whether a cgroup's freezer waits for a thread. Linux freezes no thread that waits for a FUSE mount (fs/fuse/dev.c). */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { orElse } from "../base/unless.ts";
import { type MountedAt, parseMountTable } from "./mount-table.ts";

/** A file's text; undefined if it cannot be read. */
export type ReadText = (path: string) => string | undefined;

/**
 * Those of the threads whose own cgroup, or one above it, is being frozen: "cgroup.freeze" of cgroups v2, "freezer.state" of v1
 * (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/freezer-subsystem.rst). Leaves out threads that /proc does not show.
 */
export function freezingThreads(threads: ReadonlySet<number>, read: ReadText = readText): Set<number> {
  const freezing = new Set<number>();
  // Most threads share their cgroups with another one.
  const known = new Map<string, boolean>();
  let mounts: readonly MountedAt[] | undefined;
  for (const thread of threads) {
    const text = thread === 0 ? undefined : read(`/proc/${thread}/cgroup`);
    if (text === undefined) continue;
    mounts ??= parseMountTable(read("/proc/self/mountinfo") ?? "");
    const isFreezing = known.get(text) ?? isAnyFreezing(text, mounts, read);
    known.set(text, isFreezing);
    if (isFreezing) freezing.add(thread);
  }
  return freezing;
}

/** `text`: the contents of /proc/PID/cgroup (cgroups(7)). */
function isAnyFreezing(text: string, mounts: readonly MountedAt[], read: ReadText): boolean {
  const mountPoints = (type: string) => mounts.filter((mount) => mount.type === type).map((mount) => mount.mountPoint);
  return text.split("\n").some((line) => {
    const [, id, controllers = "", path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined) return false;
    if (id === "0" && controllers === "") return mountPoints("cgroup2").some((at) => isFreezingV2(at, path, read));
    return (
      controllers.split(",").includes("freezer") && mountPoints("cgroup").some((at) => isFreezingV1(at, path, read))
    );
  });
}

/** The root cgroup has no such file. */
function isFreezingV2(mountPoint: string, path: string, read: ReadText): boolean {
  for (let at = path; at !== "/"; at = dirname(at)) {
    if (read(join(mountPoint, at, "cgroup.freeze"))?.trim() === "1") return true;
  }
  return false;
}

/** Only the freezer's own hierarchy has such files. The state includes freezing by cgroups above. */
function isFreezingV1(mountPoint: string, path: string, read: ReadText): boolean {
  return /^(FREEZING|FROZEN)$/.test(read(join(mountPoint, path, "freezer.state"))?.trim() ?? "");
}

function readText(path: string): string | undefined {
  return orElse(undefined, () => readFileSync(path, "utf8"));
}
