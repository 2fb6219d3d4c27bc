/** Which threads a cgroup's freezer waits for, according to the files of /proc and of the cgroups. */
import { expect, test } from "vitest";
import { freezingThreads } from "../../../src/fuse/freezer.ts";

const MOUNTS = `30 1 0:26 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
31 1 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 1 0:28 / /sys/fs/cgroup/all\\040of\\040it rw - cgroup2 cgroup2 rw
`;
const V1 = "/sys/fs/cgroup/freezer";
const V2 = "/sys/fs/cgroup/all of it";

/** Which of the threads 7 and 8 freeze, if 7 has these cgroups. */
function freezing(cgroups: string, files: Readonly<Record<string, string>>): number[] {
  const all: Readonly<Record<string, string>> = {
    "/proc/self/mountinfo": MOUNTS,
    "/proc/7/cgroup": cgroups,
    "/proc/8/cgroup": "3:freezer:/other\n0::/other\n",
    ...files,
  };
  return [...freezingThreads(new Set([0, 7, 8, 9]), (path) => all[path])];
}

test.each([
  ["its own cgroup of v2", "0::/a/b\n", { [`${V2}/a/b/cgroup.freeze`]: "1\n" }],
  [
    "a cgroup of v2 above its own",
    "0::/a/b\n",
    { [`${V2}/a/b/cgroup.freeze`]: "0\n", [`${V2}/a/cgroup.freeze`]: "1\n" },
  ],
  ["its cgroup of v1", "4:pids:/x\n3:freezer:/a\n0::/\n", { [`${V1}/a/freezer.state`]: "FREEZING\n" }],
  ["its cgroup of v1 with several controllers", "3:cpu,freezer:/a:b\n", { [`${V1}/a:b/freezer.state`]: "FROZEN\n" }],
])("a thread freezes by %s", (_, cgroups, files) => {
  expect(freezing(cgroups, files)).toEqual([7]);
});

test.each([
  [
    "its cgroups are thawed",
    "3:freezer:/a\n0::/a\n",
    { [`${V1}/a/freezer.state`]: "THAWED", [`${V2}/a/cgroup.freeze`]: "0" },
  ],
  ["the files are missing", "3:freezer:/a\n0::/a\n", {}],
  ["only a sibling freezes", "0::/a\n", { [`${V2}/ab/cgroup.freeze`]: "1\n" }],
  ["a file of another controller says so", "4:pids:/a\n", { [`${V1}/a/freezer.state`]: "FROZEN\n" }],
  ["its cgroups are unreadable", "nonsense\n", { [`${V2}/nonsense/cgroup.freeze`]: "1\n" }],
])("a thread does not freeze if %s", (_, cgroups, files) => {
  expect(freezing(cgroups, files)).toEqual([]);
});
