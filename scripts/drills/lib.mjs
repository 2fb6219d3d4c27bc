/**
 * What the drills share: a workspace with its own states and keys, agents as real processes, and fingerprints of trees.
 * Every drill cleans up what it started, by process id and by its own mount points.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const checkout = resolve(import.meta.dirname, "../..");
const main = join(checkout, "dist/main.js");

/** A folder for one drill, with cleanup at exit. */
export function workspace(name, parent = tmpdir()) {
  const path = mkdtempSync(join(parent, `syncline-${name}-`));
  const env = {
    ...process.env,
    XDG_STATE_HOME: join(path, "state"),
    XDG_CONFIG_HOME: join(path, "config"),
    XDG_CACHE_HOME: join(path, "cache"),
    SYNCLINE_KEY: "42".repeat(32),
  };
  const space = { path, env, mounts: new Set(), pids: new Set(), cleanups: [] };
  const clean = () => {
    for (const pid of space.pids) kill(pid);
    for (const mount of space.mounts) spawnSync("umount", ["-l", mount], { stdio: "ignore" });
    for (const action of space.cleanups.reverse()) action();
    if (!process.env.SYNCLINE_KEEP) rmSync(path, { recursive: true, force: true });
  };
  process.once("exit", clean);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  return space;
}

/** Runs a command of the command line; answers what it printed. Throws on a status that is not expected. */
export function syncline(space, args, { expect = [0], env = {}, input, timeout } = {}) {
  const result = spawnSync(process.execPath, [main, ...args], {
    env: { ...space.env, ...env },
    input,
    timeout,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (!expect.includes(result.status)) {
    throw new Error(
      `syncline ${args.join(" ")} ended with ${result.status ?? result.signal}\n${result.stdout}${result.stderr}`,
    );
  }
  return { ...result, json: () => JSON.parse(result.stdout) };
}

/** Starts a command without waiting; the promise gives status, stdout, stderr and milliseconds. */
export function start(space, args, env = {}) {
  const began = performance.now();
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...space.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => (out.stdout += data));
  child.stderr.on("data", (data) => (out.stderr += data));
  return new Promise((done) => child.on("close", (status) => done({ ...out, status, ms: performance.now() - began })));
}

/** Mounts `url` at a folder of the workspace and answers a handle on the agent. */
export function agent(
  space,
  name,
  url,
  { args = [], state = join(space.path, `state-${name}`), dir = join(space.path, name) } = {},
) {
  mkdirSync(dir, { recursive: true });
  const on = ["--state", state];
  const handle = {
    dir,
    state,
    mount() {
      syncline(space, ["mount", url, dir, "--background", ...on, ...args]);
      space.mounts.add(dir);
      handle.pid = handle.status().pid;
      space.pids.add(handle.pid);
      return handle;
    },
    status: () => syncline(space, ["status", dir, "--json", ...on]).json().agents[0],
    flush: (options) => syncline(space, ["flush", dir, "--json", ...on], options).json(),
    unmount(options) {
      const result = syncline(space, ["unmount", dir, ...on], options);
      space.pids.delete(handle.pid);
      space.mounts.delete(dir);
      return result;
    },
    /** kill -9, then detaches the dead mount, as a restart does. */
    async kill9() {
      kill(handle.pid);
      await until(() => !alive(handle.pid), 10_000, "the agent's end");
      space.pids.delete(handle.pid);
    },
  };
  return handle.mount();
}

/** A master as a process of its own, serving the workspace's wallet. It keeps its port when it is started again. */
export async function master(space, { data = join(space.path, "master"), port = 0, args = [] } = {}) {
  const allow = syncline(space, ["key", "show", "--json"]).json().address;
  const printed = join(space.path, "master.out");
  const handle = {
    data,
    wallet: allow,
    logFile: join(space.path, "master.log"),
    url: (bucket = "demo") => `${handle.origin}/${bucket}`,
    async start() {
      rmSync(printed, { force: true });
      const [out, log] = [openSync(printed, "w"), openSync(handle.logFile, "a")];
      const listen = handle.origin === undefined ? `127.0.0.1:${port}` : new URL(handle.origin).host;
      const child = spawn(
        process.execPath,
        [main, "serve", "--data", data, "--listen", listen, "--allow", allow, "--json", ...args],
        { env: space.env, stdio: ["ignore", out, log] },
      );
      closeSync(out);
      closeSync(log);
      // A drill ends when it is through; its workspace ends the master then.
      child.unref();
      handle.child = child;
      handle.pid = child.pid;
      handle.ended = new Promise((done) => child.once("close", (status) => done(status)));
      space.pids.add(child.pid);
      await until(
        () => readFileSync(printed, "utf8").includes("\n") || child.exitCode !== null,
        30_000,
        "the master to listen",
        5,
      );
      if (child.exitCode !== null) throw new Error(`the master ended: ${readFileSync(handle.logFile, "utf8")}`);
      handle.origin = JSON.parse(readFileSync(printed, "utf8")).origin;
      return handle;
    },
    /** Ends it and waits: as people do with SIGTERM, or as a power button with SIGKILL. Answers its exit status. */
    async stop(signal = "SIGTERM") {
      handle.child.ref();
      kill(handle.pid, signal);
      const status = await handle.ended;
      space.pids.delete(handle.pid);
      return status;
    },
    pause: () => kill(handle.pid, "SIGSTOP"),
    resume: () => kill(handle.pid, "SIGCONT"),
    rssMiB: () => rssMiB(handle.pid),
    verify: () => syncline(space, ["verify", "--data", data, "--json"], { expect: [0, 8] }),
  };
  return handle.start();
}

/** Resident memory of a process. */
export function rssMiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Processor time of a process so far, in milliseconds (proc(5): ticks of 10 ms). */
export function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/**
 * Where a drill's bucket is, and its further arguments: a folder, with `--master` a master of its own, with `--master=URL` a bucket
 * at that address. `away` and `back` make it unreachable and reachable. What it stores lies in the workspace, or in `parent`; `args` are for
 * the master.
 */
export async function storage(space, { parent = space.path, args = [] } = {}) {
  const given = process.argv.slice(2).find((arg) => /^--master(=|$)/.test(arg));
  const rest = process.argv.slice(2).filter((arg) => arg !== given);
  const away = join(space.path, "away");
  if (given === undefined) {
    const folder = join(parent, "bucket");
    return {
      url: `file://${folder}`,
      rest,
      away: async () => renameSync(folder, away),
      back: async () => renameSync(away, folder),
    };
  }
  const address = given.slice("--master=".length);
  if (address !== "") return { url: address, rest };
  const own = await master(space, { data: join(parent, "master"), args });
  return { url: own.url(), rest, master: own, away: () => own.stop(), back: () => own.start() };
}

export function kill(pid, signal = "SIGKILL") {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

export function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits for a condition with a deadline, looking again every few milliseconds. */
export async function until(condition, deadlineMs, what, everyMs = 2) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((next) => setTimeout(next, everyMs));
  }
}

export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28, ...options });
  if (result.status !== 0)
    throw new Error(
      `${command} ${args.join(" ")} ended with ${result.status}: ${result.stdout}${result.stderr}${result.error ?? ""}`,
    );
  return result.stdout;
}

/** Every path below `root` → its type, mode, mtime in ns, size and SHA-256, link target or device. */
export function fingerprint(root, { skip = () => false } = {}) {
  const seen = new Map();
  const walk = (folder, prefix) => {
    for (const name of readdirSync(folder, { encoding: "buffer" })) {
      const text = name.toString("latin1");
      const path = Buffer.concat([Buffer.from(`${folder}/`, "latin1"), name]);
      const key = prefix + text;
      if (skip(key)) continue;
      const stat = lstatSync(path, { bigint: true });
      const kind = stat.isDirectory() ? "dir" : stat.isSymbolicLink() ? "link" : stat.isFile() ? "file" : "special";
      const contents = { dir: () => "", link: () => readlinkSync(path, "latin1"), file: () => sha256(path) };
      const held = kind === "special" ? stat.rdev : contents[kind]();
      seen.set(
        key,
        `${kind} ${(stat.mode & 0o7777n).toString(8)} ${stat.mtimeNs} ${kind === "dir" ? "" : stat.size} ${held}`,
      );
      if (kind === "dir") walk(path.toString("latin1"), `${key}/`);
    }
  };
  walk(root, "");
  return seen;
}

function sha256(path) {
  const hash = createHash("sha256");
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(1 << 20);
  for (let got; (got = readSync(file, buffer)) > 0;) hash.update(buffer.subarray(0, got));
  closeSync(file);
  return hash.digest("hex");
}

/** Paths that differ between two fingerprints. */
export function differences(a, b) {
  const paths = [...new Set([...a.keys(), ...b.keys()])].filter((path) => a.get(path) !== b.get(path));
  return paths.map((path) => ({ path, a: a.get(path), b: b.get(path) }));
}

export function percentile(values, fraction) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * fraction) - 1)];
}

/** All commits of a bucket, newest first, as `syncline log` prints them. */
export function commitsOf(space, url) {
  const printed = syncline(space, ["log", url, "--json", "-n", "1000000"]).stdout.trim();
  return printed.split("\n").map((line) => JSON.parse(line));
}

/** History is one line down to the first commit, and each epoch of each writer is in it once. */
export function checkHistory(commits) {
  const [newest] = commits;
  check(
    commits.every(({ seq }, at) => seq === newest.seq - at) && commits.at(-1).seq === 1,
    `history is linear: seq ${newest.seq} down to ${commits.at(-1).seq}`,
  );
  const epochs = commits.map(({ writer, epoch }) => `${writer}/${epoch}`);
  check(new Set(epochs).size === epochs.length, `${epochs.length} commits, each epoch of each writer once`);
}

export function report(line) {
  process.stdout.write(`${line}\n`);
}

export function check(condition, claim) {
  if (!condition) {
    report(`FAIL  ${claim}`);
    process.exit(1);
  }
  report(`ok    ${claim}`);
}

export { existsSync, join, mkdirSync };

export function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

/** Numbers in [0, 1) from a seed, which is a number. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
