/**
 * What the drills share: a workspace with its own states and keys, agents as real processes, and fingerprints of trees.
 * Every drill cleans up what it started, by process id and by its own mount points.
 */
import { type ChildProcess, spawn, spawnSync, type SpawnSyncOptions, type SpawnSyncReturns } from "node:child_process";
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
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { PostgresServer } from "../../test/support/postgres-server.ts";
import { killAgent } from "../../test/support/supervisor.ts";
import type { AgentStatus, FlushReport } from "../../src/agent/reports.ts";
import { StartedProcesses } from "../../test/support/started-processes.ts";

export const checkout = resolve(import.meta.dirname, "../..");
const main = join(checkout, "dist/main.js");

export interface Space {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
  /** Mount points to detach at exit. */
  readonly mounts: Set<string>;
  /** Processes to end at exit. */
  readonly pids: StartedProcesses;
  readonly cleanups: (() => void)[];
}

/** A folder for one drill, with cleanup at exit. */
export function workspace(name: string, parent = tmpdir()): Space {
  const path = mkdtempSync(join(parent, `syncline-${name}-`));
  const env = {
    ...process.env,
    XDG_STATE_HOME: join(path, "state"),
    XDG_CONFIG_HOME: join(path, "config"),
    XDG_CACHE_HOME: join(path, "cache"),
    SYNCLINE_KEY: "42".repeat(32),
  };
  const space: Space = { path, env, mounts: new Set(), pids: new StartedProcesses(), cleanups: [] };
  const clean = () => {
    for (const pid of space.pids.running) killAgent(pid);
    for (const mount of space.mounts) spawnSync("umount", ["-l", mount], { stdio: "ignore" });
    for (const action of space.cleanups.reverse()) action();
    if (!process.env["SYNCLINE_KEEP"]) rmSync(path, { recursive: true, force: true });
  };
  process.once("exit", clean);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  return space;
}

export interface CommandOptions {
  /** Exit statuses that are no failure; null: a signal ended it, as a timeout does. */
  readonly expect?: readonly (number | null)[];
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Uint8Array;
  /** In milliseconds. */
  readonly timeout?: number;
}

export interface CommandResult extends SpawnSyncReturns<string> {
  /** What it printed, as JSON. The caller says what that is. */
  json<Value>(): Value;
}

/** Runs a command of the command line; returns what it printed. Throws on a status that is not expected. */
export function syncline(
  space: Space,
  args: readonly string[],
  { expect = [0], env = {}, input, timeout }: CommandOptions = {},
): CommandResult {
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
  return { ...result, json: <Value>() => JSON.parse(result.stdout) as Value };
}

export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
  readonly ms: number;
}

/** Starts a command without waiting; `began` is told its process ID. */
export function start(
  space: Space,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  began: (pid: number) => void = () => {},
): Promise<Ended> {
  const beganMs = performance.now();
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...space.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  began(pidOf(child));
  const out = { stdout: "", stderr: "" };
  child.stdout.on("data", (data: Buffer) => (out.stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (out.stderr += data.toString()));
  return new Promise((done) =>
    child.on("close", (status) => done({ ...out, status, ms: performance.now() - beganMs })),
  );
}

export interface AgentHandle {
  readonly dir: string;
  readonly state: string;
  /** Of the process that serves now, or served last. */
  pid: number;
  mount(more?: readonly string[]): AgentHandle;
  status(): AgentStatus;
  flush(options?: CommandOptions): FlushReport;
  unmount(options?: CommandOptions): CommandResult;
  /** Kills the agent and its supervisor with -9, then waits until the agent has ended. */
  kill9(): Promise<void>;
}

export interface AgentOptions {
  readonly args?: readonly string[];
  readonly state?: string;
  readonly dir?: string;
}

/** Mounts `url` at a folder of the workspace and returns a handle on the agent. */
export function agent(
  space: Space,
  name: string,
  url: string,
  { args = [], state = join(space.path, `state-${name}`), dir = join(space.path, name) }: AgentOptions = {},
): AgentHandle {
  mkdirSync(dir, { recursive: true });
  const on = ["--state", state];
  const address = rotated(url, agents++);
  const handle: AgentHandle = {
    dir,
    state,
    pid: 0,
    mount(more = []) {
      syncline(space, ["mount", address, dir, "--background", ...on, ...args, ...more]);
      space.mounts.add(dir);
      handle.pid = handle.status().pid;
      space.pids.add(handle.pid);
      return handle;
    },
    status() {
      const [found] = syncline(space, ["status", dir, "--json", ...on]).json<{ agents: AgentStatus[] }>().agents;
      if (found === undefined) throw new Error(`no agent serves ${dir}`);
      return found;
    },
    flush: (options) => syncline(space, ["flush", dir, "--json", ...on], options).json<FlushReport>(),
    unmount(options) {
      const result = syncline(space, ["unmount", dir, ...on], options);
      space.pids.delete(handle.pid);
      space.mounts.delete(dir);
      return result;
    },
    async kill9() {
      // Otherwise the supervisor would start the next agent.
      killAgent(handle.pid);
      await until(() => !alive(handle.pid), 10_000, "the agent's end");
      space.pids.delete(handle.pid);
    },
  };
  return handle.mount();
}

export interface MasterHandle {
  readonly data: string;
  readonly wallet: string;
  readonly logFile: string;
  origin: string;
  pid: number;
  child: ChildProcess;
  /** Its exit status. */
  ended: Promise<number | null>;
  url(bucket?: string): string;
  start(): Promise<MasterHandle>;
  /** Ends it and waits: as people do with SIGTERM, or as a power button with SIGKILL. Returns its exit status. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  pause(): void;
  resume(): void;
  rssMiB(): number;
  verify(): CommandResult;
}

export interface ServeOptions {
  /** Of its log; default: its folder's. */
  readonly name?: string;
  readonly data?: string;
  readonly port?: number;
  readonly args?: readonly string[];
  /** Of Node.js. */
  readonly flags?: readonly string[];
  /** It listens on this address; default: loopback. */
  readonly host?: string;
  /** A command that runs it, in a namespace for example. */
  readonly within?: readonly string[];
}

/** A master as a process of its own, serving the workspace's wallet. It keeps its port when it is started again. */
export async function master(space: Space, options: ServeOptions = {}): Promise<MasterHandle> {
  const {
    data = join(space.path, "master"),
    port = 0,
    args = [],
    flags = [],
    host = "127.0.0.1",
    within = [],
  } = options;
  const { name = basename(data) } = options;
  const allow = syncline(space, ["key", "show", "--json"]).json<{ address: string }>().address;
  const printed = join(space.path, `${name}.out`);
  const logFile = join(space.path, `${name}.log`);
  const launch = async (listen: string) => {
    rmSync(printed, { force: true });
    const [out, log] = [openSync(printed, "w"), openSync(logFile, "a")];
    const serve = [main, "serve", "--data", data, "--listen", listen, "--allow", allow, "--json", ...args];
    const [command = "", ...rest] = [...within, process.execPath, ...flags, ...serve];
    const child = spawn(command, rest, { env: space.env, stdio: ["ignore", out, log] });
    closeSync(out);
    closeSync(log);
    // A drill ends when it is through; its workspace ends the master then.
    child.unref();
    const pid = pidOf(child);
    const ended = new Promise<number | null>((done) => void child.once("close", (status) => done(status)));
    space.pids.add(pid);
    const isUp = () => readFileSync(printed, "utf8").includes("\n") || child.exitCode !== null;
    await until(isUp, 30_000, "the master to listen", 5);
    if (child.exitCode !== null) throw new Error(`the master ended: ${readFileSync(logFile, "utf8")}`);
    const { origin } = JSON.parse(readFileSync(printed, "utf8")) as { origin: string };
    return { child, pid, ended, origin };
  };
  const handle: MasterHandle = {
    data,
    wallet: allow,
    logFile,
    ...(await launch(`${host}:${port}`)),
    url: (bucket = "demo") => `${handle.origin}/${bucket}`,
    start: async () => Object.assign(handle, await launch(new URL(handle.origin).host)),
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
  return handle;
}

/** Of a process that was just started. */
export function pidOf({ pid, spawnfile }: ChildProcess): number {
  if (pid === undefined) throw new Error(`${spawnfile} did not start`);
  return pid;
}

/** Resident memory of a process; 0 once it has ended. */
export function rssMiB(pid: number): number {
  if (!existsSync(`/proc/${pid}/status`)) return 0;
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Processor time of a process so far, in milliseconds (proc(5): ticks of 10 ms). */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export interface Storage {
  readonly url: string;
  /** The drill's further arguments. */
  readonly rest: readonly string[];
  readonly master?: MasterHandle;
  readonly s3?: S3Handle;
  /** Two masters without state of their own; `master` is the first. */
  readonly fleet?: Fleet;
  /** Absent where the drill cannot take the bucket away. */
  readonly away?: () => Promise<unknown>;
  readonly back?: () => Promise<unknown>;
}

export interface StorageOptions {
  /** What it stores lies in this folder; default: the workspace. */
  readonly parent?: string;
  /** For the master. */
  readonly args?: readonly string[];
  /** What it is without an argument. */
  readonly otherwise?: "folder" | "master";
}

/**
 * Where a drill's bucket is, and its further arguments: a folder, with `--master` a master of its own, with `--master=URL` a bucket
 * at that address, with `--masters` two masters on a PostgreSQL and an S3 server of their own, with `--s3` an S3 server of its own without a master, with `--s3=numbered` one whose roots are numbered. `away` and `back` make it unreachable and reachable.
 */
export async function storage(
  space: Space,
  { parent = space.path, args = [], otherwise = "folder" }: StorageOptions = {},
): Promise<Storage> {
  const asked = process.argv.slice(2).find((arg) => /^--(masters|master|s3)(=|$)/.test(arg));
  const rest = process.argv.slice(2).filter((arg) => arg !== asked);
  const given = asked ?? (otherwise === "master" ? "--master" : undefined);
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
  if (given.startsWith("--s3")) {
    const s3 = await s3Server(space, join(parent, "s3"));
    if (given.startsWith("--s3=")) space.env["SYNCLINE_ROOTS"] = given.slice("--s3=".length);
    return { url: s3.url(), rest, s3, away: () => s3.stop(), back: () => s3.start() };
  }
  if (given === "--masters") {
    const fleet = await startFleet(space, args);
    const each = (work: (one: MasterHandle) => Promise<unknown>) => Promise.all(fleet.masters.map(work));
    const [first] = fleet.masters;
    return {
      url: fleet.url(),
      rest,
      master: first,
      fleet,
      away: () => each((one) => one.stop()),
      back: () => each((one) => one.start()),
    };
  }
  const address = given.slice("--master=".length);
  if (address !== "") return { url: address, rest };
  const own = await master(space, { data: join(parent, "master"), args });
  return { url: own.url(), rest, master: own, away: () => own.stop(), back: () => own.start() };
}

export interface Fleet {
  readonly masters: readonly [MasterHandle, MasterHandle];
  readonly database: PostgresServer;
  readonly s3: S3Handle;
  url(bucket?: string): string;
}

/** Two masters on one PostgreSQL and one S3 server. Ends the drill where one of these cannot be had. */
async function startFleet(space: Space, args: readonly string[]): Promise<Fleet> {
  const { allOf, shared } = await import("./shared-masters.ts");
  const { postgres: database, s3, master: serve } = await shared(space);
  const masters = [await serve(args), await serve(args)] as const;
  return { masters, database, s3, url: (bucket) => allOf(masters, bucket) };
}

/** The address with its masters in another order for each caller, so that not all begin with the same one. */
function rotated(url: string, times: number): string {
  const [, scheme, hosts = "", rest] = /^(https?:\/\/)([^/]+)(\/.*)$/.exec(url) ?? [];
  const all = hosts.split(",");
  if (all.length < 2) return url;
  const at = times % all.length;
  return `${scheme}${[...all.slice(at), ...all.slice(0, at)].join(",")}${rest}`;
}

let agents = 0;

/** A path in a bucket, as commands take it. */
export function pathIn(url: string, path: string): string {
  const [address = "", query] = url.split("?", 2);
  return `${address}/${path}${query === undefined ? "" : `?${query}`}`;
}

/** versitygw as a process of its own (scripts/lib/servers.sh). It keeps its port when it is started again. */
export interface S3Handle {
  readonly pid: number;
  /** Its objects as files, with their dates. */
  readonly folder: string;
  /** Below a prefix of its one S3 bucket. */
  url(prefix?: string): string;
  start(): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export async function s3Server(space: Space, folder: string, host = "127.0.0.1"): Promise<S3Handle> {
  const servers = process.env["SYNCLINE_SERVERS"] ?? join(homedir(), ".cache/syncline/servers");
  const program = join(servers, "versitygw-1.8.0/versitygw");
  if (!existsSync(program)) throw new Error(`${program} is not there: scripts/test builds it`);
  mkdirSync(join(folder, "bucket"), { recursive: true });
  const keys = { AWS_ACCESS_KEY_ID: "drill", AWS_SECRET_ACCESS_KEY: "drill-secret", AWS_REGION: "us-east-1" };
  // This process may use it, too.
  for (const env of [space.env, process.env]) Object.assign(env, keys);
  const port = await freePort();
  const rights = ["--access", keys.AWS_ACCESS_KEY_ID, "--secret", keys.AWS_SECRET_ACCESS_KEY, "--region", "us-east-1"];
  let child: ChildProcess | undefined;
  const handle = {
    pid: 0,
    folder: join(folder, "bucket"),
    url: (prefix = "demo") => `s3://bucket/${prefix}?endpoint=http://${host}:${port}`,
    async start() {
      const args = ["--port", `${host}:${port}`, "--quiet", ...rights, "posix", folder];
      child = spawn(program, args, { env: space.env, stdio: "ignore" });
      child.unref();
      handle.pid = pidOf(child);
      space.pids.add(handle.pid);
      const origin = `http://${host}:${port}/`;
      const answers = () =>
        fetch(origin).then(
          () => true,
          () => false,
        );
      await until(answers, 30_000, "the S3 server to answer", 20);
    },
    async stop(signal: NodeJS.Signals = "SIGKILL") {
      const ending = child;
      if (ending === undefined || ending.exitCode !== null) return;
      ending.ref();
      const ended = new Promise((done) => ending.once("exit", done));
      kill(handle.pid, signal);
      await ended;
      space.pids.delete(handle.pid);
    },
  };
  await handle.start();
  return handle;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => void server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}

export function kill(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits for a condition with a deadline, looking again every few milliseconds. */
export async function until<Value>(
  condition: () => Value | Promise<Value>,
  deadlineMs: number,
  what: string,
  everyMs = 2,
): Promise<Value> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((next) => setTimeout(next, everyMs));
  }
}

export function run(command: string, args: readonly string[], options: SpawnSyncOptions = {}): string {
  const result = spawnSync(command, args, { maxBuffer: 1 << 28, ...options, encoding: "utf8" });
  if (result.status !== 0)
    throw new Error(
      `${command} ${args.join(" ")} ended with ${result.status}: ${result.stdout}${result.stderr}${result.error ?? ""}`,
    );
  return result.stdout;
}

export type Fingerprint = ReadonlyMap<string, string>;

/** Every path below `root` → its type, mode, mtime in ns, size and SHA-256, link target or device. */
export function fingerprint(
  root: string,
  { skip = () => false }: { readonly skip?: (path: string) => boolean } = {},
): Fingerprint {
  const seen = new Map<string, string>();
  const walk = (folder: string, prefix: string) => {
    for (const name of readdirSync(folder, { encoding: "buffer" })) {
      const text = name.toString("latin1");
      const path = Buffer.concat([Buffer.from(`${folder}/`, "latin1"), name]);
      const key = prefix + text;
      if (skip(key)) continue;
      const stat = lstatSync(path, { bigint: true });
      const kind = stat.isDirectory() ? "dir" : stat.isSymbolicLink() ? "link" : stat.isFile() ? "file" : "special";
      const contents = {
        dir: () => "",
        link: () => readlinkSync(path, "latin1"),
        file: () => sha256(path),
        special: () => `${stat.rdev}`,
      };
      const held = contents[kind]();
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

function sha256(path: Buffer): string {
  const hash = createHash("sha256");
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(1 << 20);
  for (let got; (got = readSync(file, buffer)) > 0;) hash.update(buffer.subarray(0, got));
  closeSync(file);
  return hash.digest("hex");
}

/** Paths that differ between two fingerprints. */
export function differences(a: Fingerprint, b: Fingerprint) {
  const paths = [...new Set([...a.keys(), ...b.keys()])].filter((path) => a.get(path) !== b.get(path));
  return paths.map((path) => ({ path, a: a.get(path), b: b.get(path) }));
}

export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN;
}

/** What a drill reads of a line of `syncline log --json`. */
export interface LoggedCommit {
  readonly root: string;
  readonly seq: number;
  readonly writer: string;
  readonly epoch: number;
  /** RFC 3339. */
  readonly time: string;
  readonly note: string;
}

/** All commits of a bucket, newest first, as `syncline log` prints them. */
export function commitsOf(space: Space, url: string): LoggedCommit[] {
  const printed = syncline(space, ["log", url, "--json", "-n", "1000000"]).stdout.trim();
  return printed.split("\n").map((line) => JSON.parse(line) as LoggedCommit);
}

/** History is one line down to the first commit, and each epoch of each writer is in it once. A collector's commits have 0. */
export function checkHistory(commits: readonly LoggedCommit[]): void {
  const [newest, oldest] = [commits[0]?.seq ?? 0, commits.at(-1)?.seq];
  check(
    commits.every(({ seq }, at) => seq === newest - at) && oldest === 1,
    `history is linear: seq ${newest} down to ${oldest}`,
  );
  const published = commits.filter(({ epoch }) => epoch > 0);
  const epochs = Map.groupBy(published, ({ writer, epoch }) => `${writer}/${epoch}`);
  for (const same of epochs.values()) if (same.length > 1) report(JSON.stringify(same));
  check(epochs.size === published.length, `${published.length} commits, each epoch of each writer once`);
}

export function report(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function check(condition: boolean, claim: string): asserts condition {
  if (!condition) {
    report(`FAIL  ${claim}`);
    process.exit(1);
  }
  report(`ok    ${claim}`);
}

export { existsSync, join, mkdirSync };

export function pause(ms: number): Promise<void> {
  return new Promise((done) => void setTimeout(done, ms));
}

/** Numbers in [0, 1) from a seed, which is a number. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
