/**
 * Where a workload runs. On folders: the ground itself (grounds.mjs), a mount of ours whose bucket, state and cache lie on it, and
 * those of the peers that are installed: rclone's mount of a folder, and libfuse's own passthrough in C, which stores nothing of its
 * own and shows what FUSE alone costs. On S3: a mount of ours, and those of rclone, s3fs and JuiceFS, on one versitygw. Beside
 * another checkout: the ground, and both checkouts' mounts.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { agent, join, run, s3Server, syncline } from "../drills/lib.ts";
import { mountedBy, s3Peers } from "./s3-peers.mjs";

/** The targets in a workspace, each `{name, about, dir, pid, settle, stop}`; what is not installed is left out. */
export async function folderTargets(space, ground) {
  const folder = ground.folder("syncline");
  const mounted = ours(space, folder, `file://${join(folder, "bucket")}`, "a file:// bucket, FUSE");
  const peers = [await passthrough(space, ground), await rclone(space, ground)];
  return [local(ground), mounted, ...peers.filter((target) => target !== undefined)];
}

/** As `folderTargets`, with the mount of another checkout, which must be built, as the only peer. */
export async function turnTargets(space, ground, checkout) {
  const [folder, other] = [ground.folder("syncline"), ground.folder("other")];
  const mounted = ours(space, folder, `file://${join(folder, "bucket")}`, "a file:// bucket, FUSE");
  return [local(ground), mounted, await beside(space, other, checkout)];
}

/** Older code knows our command line, but not what our drills ask for. */
async function beside(space, folder, checkout) {
  const [dir, bucket, state] = [join(space.path, "other"), `file://${join(folder, "bucket")}`, join(folder, "state")];
  const command = (...args) =>
    execFileSync(process.execPath, [join(checkout, "dist/main.js"), ...args], { env: space.env, encoding: "utf8" });
  mkdirSync(dir);
  command("init", bucket);
  command("mount", bucket, dir, "--background", "--state", state);
  space.mounts.add(dir);
  const [{ pid }] = JSON.parse(command("status", dir, "--json", "--state", state)).agents;
  space.pids.add(pid);
  return {
    name: "other",
    about: checkout,
    dir,
    pid,
    settle: async () => void command("flush", dir, "--state", state),
    stop: async () => void command("unmount", dir, "--state", state),
  };
}

/** As `folderTargets`. */
export async function s3Targets(space, ground) {
  const server = await s3Server(space, ground.folder("s3"));
  const mounted = ours(space, ground.folder("syncline"), server.url("bench"), "an s3:// bucket, FUSE");
  const targets = [local(ground), mounted];
  const peers = await s3Peers(space, server, {
    rclone: (cache) => ["--vfs-cache-mode", "full", "--vfs-write-back", "1s", "--cache-dir", cache],
    s3fs: (cache) => (mkdirSync(cache), ["-o", `use_cache=${cache}`]),
  });
  for (const [name, mount] of Object.entries(peers)) {
    const mounted = await mount(join(space.path, name), join(ground.folder(name), "cache"));
    targets.push(target(name, "the same S3 server, with a cache", mounted));
  }
  return targets;
}

function target(name, about, { dir, pid, unmount }) {
  return { name, about, dir, pid, settle: async () => {}, stop: unmount };
}

function local(ground) {
  return target("local", "the ground itself", { dir: ground.folder("local"), unmount: async () => {} });
}

function ours(space, folder, url, about) {
  syncline(space, ["init", url]);
  const mounted = agent(space, "mount", url, { state: join(folder, "state") });
  return {
    name: "syncline",
    about,
    dir: mounted.dir,
    pid: mounted.pid,
    // Publishing belongs to the workload before, not to the next one.
    settle: async () => void mounted.flush(),
    stop: async () => void mounted.unmount(),
  };
}

async function rclone(space, ground) {
  if (spawnSync("rclone", ["version"]).status !== 0) return undefined;
  const folder = ground.folder("rclone");
  const [store, dir] = [join(folder, "store"), join(space.path, "rclone")];
  mkdirSync(store);
  const flags = ["--vfs-cache-mode", "full", "--cache-dir", join(folder, "cache")];
  const mounted = await mountedBy(space, dir, "rclone", "rclone", ["mount", store, dir, ...flags]);
  return target("rclone", "mount of a folder, vfs-cache-mode full", mounted);
}

/** Debian's libfuse3-dev brings the example's source. */
async function passthrough(space, ground) {
  const source = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c";
  const flags = spawnSync("pkg-config", ["--cflags", "--libs", "fuse3"], { encoding: "utf8" });
  if (!existsSync(source) || flags.status !== 0) return undefined;
  const binary = join(space.path, "passthrough_ll");
  run("cc", ["-O2", "-o", binary, source, ...flags.stdout.trim().split(/\s+/)]);
  const [below, dir] = [ground.folder("passthrough"), join(space.path, "passthrough")];
  const mounted = await mountedBy(space, dir, "passthrough", binary, [
    "-f",
    "-o",
    `source=${below},cache=auto,timeout=1`,
    dir,
  ]);
  return target("passthrough", "libfuse's passthrough_ll, cache=auto,timeout=1", mounted);
}
