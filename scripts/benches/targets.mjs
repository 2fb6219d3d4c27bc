/**
 * Where a workload runs: on the ground itself (grounds.mjs), in a mount of ours whose bucket, state and cache lie on it, and in those of the
 * peers that are installed: rclone's mount of a folder, and libfuse's own passthrough in C, which stores nothing of its own and shows what
 * FUSE alone costs.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { agent, alive, join, kill, run, syncline } from "../drills/lib.ts";

/** The targets in a workspace, each `{name, about, dir, settle, stop, cpu}`; what is not installed is left out. */
export function targetsIn(space, ground) {
  return [local(ground), ours(space, ground), passthrough(space, ground), rclone(space, ground)].filter(
    (target) => target !== undefined,
  );
}

function local(ground) {
  return {
    name: "local",
    about: "the ground itself",
    dir: ground.folder("local"),
    settle: async () => {},
    stop: () => {},
  };
}

function ours(space, ground) {
  const folder = ground.folder("syncline");
  const url = `file://${join(folder, "bucket")}`;
  syncline(space, ["init", url]);
  const mounted = agent(space, "mount", url, { state: join(folder, "state") });
  return {
    name: "syncline",
    about: "a file:// bucket, FUSE",
    dir: mounted.dir,
    pid: mounted.pid,
    // Publishing belongs to the workload before, not to the next one.
    settle: async () => void mounted.flush(),
    stop: () => mounted.unmount(),
  };
}

function rclone(space, ground) {
  if (spawnSync("rclone", ["version"]).status !== 0) return undefined;
  const folder = ground.folder("rclone");
  const store = join(folder, "store");
  mkdirSync(store);
  return peer(space, "rclone", "mount of a folder, vfs-cache-mode full", (dir) => [
    "rclone",
    ["mount", store, dir, "--vfs-cache-mode", "full", "--cache-dir", join(folder, "cache")],
  ]);
}

/** Debian's libfuse3-dev brings the example's source. */
function passthrough(space, ground) {
  const source = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c";
  const flags = spawnSync("pkg-config", ["--cflags", "--libs", "fuse3"], { encoding: "utf8" });
  if (!existsSync(source) || flags.status !== 0) return undefined;
  const binary = join(space.path, "passthrough_ll");
  run("cc", ["-O2", "-o", binary, source, ...flags.stdout.trim().split(/\s+/)]);
  const below = ground.folder("passthrough");
  return peer(space, "passthrough", "libfuse's passthrough_ll, cache=auto,timeout=1", (dir) => [
    binary,
    ["-f", "-o", `source=${below},cache=auto,timeout=1`, dir],
  ]);
}

/** A mount that another program serves. */
function peer(space, name, about, command) {
  const dir = join(space.path, name);
  mkdirSync(dir);
  const child = spawn(...command(dir), { stdio: "ignore" });
  space.pids.add(child.pid);
  space.mounts.add(dir);
  const mounted = () => readFileSync("/proc/mounts", "utf8").includes(` ${dir} `);
  const waited = spawnSync("sh", [
    "-c",
    `for i in $(seq 100); do grep -q ' ${dir} ' /proc/mounts && exit 0; sleep 0.1; done; exit 1`,
  ]);
  if (waited.status !== 0 || !mounted()) {
    kill(child.pid);
    return undefined;
  }
  const stop = () => {
    spawnSync("umount", ["-l", dir]);
    if (alive(child.pid)) kill(child.pid, "SIGTERM");
  };
  return { name, about, dir, pid: child.pid, settle: async () => {}, stop };
}
