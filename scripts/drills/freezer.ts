/**
 * Freezes and kills cgroups whose programs wait for a file while the master is silent, and again after the agent was stopped, too.
 * How long does each take? A thawed program continues to wait, and gets its bytes once the master answers.
 *   node scripts/drills/freezer.ts [ROUNDS of each, default 100] [--untimed]      needs Linux, root, and a cgroup filesystem with a freezer
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { parseMountTable } from "../../src/fuse/mount-table.ts";
import { agent, check, join, kill, master, mkdirSync, report, syncline, until, workspace } from "./lib.ts";
import { skip } from "./shared-masters.ts";

const rounds = Number(process.argv[2] ?? 100);
const isTimed = !process.argv.includes("--untimed");
const MOST_FREEZING_MS = 5_000;
const MOST_KILLED_MS = 1_000;

/** A cgroup that can be frozen. */
interface Freezer {
  readonly version: string;
  readonly folder: string;
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
  isFrozen(): boolean;
}

const space = workspace("freezer");
const freezers = findFreezers();
if (freezers.length === 0) skip("no cgroup filesystem with a freezer is mounted");
const served = await master(space);
const url = served.url();
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const bytes = randomBytes(2_000_000);
mkdirSync(join(a.dir, "d"));
writeFileSync(join(a.dir, "d", "file"), bytes);
check(a.flush().published, "a file is published");
a.unmount();

const b = agent(space, "b", url);
const file = join(b.dir, "d", "file");
// The network is silent: answers stop, and connections stay open.
kill(served.pid, "SIGSTOP");
for (const freezer of freezers) {
  mkdirSync(freezer.folder, { recursive: true });
  for (const [name, command] of programs()) {
    for (const isStopped of [false, true]) {
      const freezing: number[] = [];
      const killing: number[] = [];
      for (let round = 0; round < rounds; round++) {
        // Asked before: a program waits for some seconds only.
        const { pid } = b.status();
        const program = start(freezer, command);
        await toWait(freezer, name);
        if (isStopped) kill(pid, "SIGSTOP");
        freezing.push(await freeze(freezer));
        thaw(freezer);
        killing.push(await killed(freezer, program));
        if ((b.status().pid !== pid) !== isStopped) check(false, "a stopped agent is replaced, and no other one");
      }
      const [longest, last] = [Math.max(...freezing), Math.max(...killing)];
      check(
        !isTimed || (longest <= MOST_FREEZING_MS && last <= MOST_KILLED_MS),
        `${freezer.version}: ${name} was frozen ${rounds} times${isStopped ? " with the agent stopped" : ""}, after ${longest.toFixed(0)} ms at most, and killed after ${last.toFixed(0)} ms at most`,
      );
    }
  }
}
const [last] = freezers.slice(-1);
if (last !== undefined) {
  const copy = join(space.path, "copy");
  const program = start(last, ["dd", `if=${file}`, `of=${copy}`, "bs=64k", "status=none"]);
  await toWait(last, "dd");
  await freeze(last);
  const ended = once(program, "exit");
  kill(served.pid, "SIGCONT");
  thaw(last);
  const [status] = (await ended) as [number | null];
  check(status === 0 && readFileSync(copy).equals(bytes), "a thawed dd copies all bytes");
}
for (const { folder } of freezers) rmdirSync(folder);
b.unmount();
process.exit(0);

function programs(): [name: string, command: string[]][] {
  return [
    ["dd", ["dd", `if=${file}`, "of=/dev/null", "status=none"]],
    ["find", ["find", b.dir, "-type", "f", "-exec", "cat", "{}", "+"]],
  ];
}

/** Starts a program in the cgroup. */
function start({ folder }: Freezer, command: readonly string[]) {
  const join = `echo $$ >"$1"; shift; exec "$@"`;
  const args = ["-c", join, "sh", `${folder}/cgroup.procs`, ...command];
  return spawn("sh", args, { stdio: ["ignore", "ignore", "inherit"] });
}

/** Waits until a program waits for the network: what the mount has, it gets at once. */
async function toWait(freezer: Freezer, name: string): Promise<void> {
  let times = 0;
  await until(() => (times = waits(freezer) ? times + 1 : 0) === 10, 10_000, `${name} to wait`);
}

/** Whether a process of the cgroup waits for the mount. */
function waits({ folder }: Freezer): boolean {
  const processes = readFileSync(`${folder}/cgroup.procs`, "utf8").match(/\d+/g) ?? [];
  return processes.some((pid) => /fuse|folio/.test(stackOf(pid)));
}

function stackOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stack`, "utf8");
  } catch {
    // The process has ended.
    return "";
  }
}

/** How long freezing takes, in milliseconds. */
async function freeze(freezer: Freezer): Promise<number> {
  const began = performance.now();
  writeFileSync(freezer.file, freezer.frozen);
  await until(() => freezer.isFrozen(), 60_000, `the ${freezer.version} freezer`);
  return performance.now() - began;
}

function thaw(freezer: Freezer): void {
  writeFileSync(freezer.file, freezer.thawed);
}

/** How long it takes to kill all processes of the cgroup, in milliseconds. A program may start another one meanwhile. */
async function killed({ folder }: Freezer, program: ReturnType<typeof start>): Promise<number> {
  const began = performance.now();
  const ended = once(program, "exit");
  const isEmpty = () => {
    const processes = readFileSync(`${folder}/cgroup.procs`, "utf8").match(/\d+/g) ?? [];
    for (const pid of processes) kill(Number(pid), "SIGKILL");
    return processes.length === 0;
  };
  await until(isEmpty, 60_000, "the cgroup to be empty");
  await ended;
  return performance.now() - began;
}

function findFreezers(): Freezer[] {
  const found: Freezer[] = [];
  for (const { type, mountPoint } of parseMountTable(readFileSync("/proc/self/mountinfo", "latin1"))) {
    const folder = join(mountPoint, `syncline-freezer-${process.pid}`);
    if (type === "cgroup2") {
      const isFrozen = () => readFileSync(join(folder, "cgroup.events"), "utf8").includes("frozen 1");
      found.push({ version: "v2", folder, file: join(folder, "cgroup.freeze"), frozen: "1", thawed: "0", isFrozen });
    }
    if (type === "cgroup" && mountPoint.endsWith("/freezer")) {
      const state = join(folder, "freezer.state");
      const isFrozen = () => readFileSync(state, "utf8").trim() === "FROZEN";
      found.push({ version: "v1", folder, file: state, frozen: "FROZEN", thawed: "THAWED", isFrozen });
    }
  }
  report(`freezers: ${found.map(({ version }) => version).join(", ")}`);
  return found;
}
