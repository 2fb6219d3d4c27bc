/**
 * An agent is killed with -9 again and again while programs work in its mount: files with fsync, names, appends, a mapped file,
 * a file without a name, listings, SQLite with both journals, git, and PostgreSQL where it is installed. Its supervisor starts
 * the next agent each time. No program may see an error, and everything that was answered must be there, also on another
 * machine. Then `syncline upgrade` replaces the agent again and again. At the end, the agent and its supervisor are killed, and a
 * new mount must also have everything.
 *   node scripts/drills/agent-kills.ts [KILLS, default 50] [UPGRADES, default 20] [--slots]
 *     [--master | --masters | --s3 | --s3=numbered]
 * With --slots, the kernel is not asked to send requests again. As before Linux 6.9, they are kept in memory that outlives the
 * agent.
 */
import { spawn } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import {
  agent,
  check,
  checkout,
  differences,
  existsSync,
  fingerprint,
  join,
  kill,
  mkdirSync,
  pause,
  percentile,
  pidOf,
  report,
  run,
  start,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";
import { postgresHere, PostgresServer } from "../../test/support/postgres-server.ts";
import { agentOf, supervisorOf } from "../../test/support/supervisor.ts";

interface Told {
  readonly kind: string;
  readonly done: number;
  readonly errors: readonly string[];
  readonly longestMs: number;
}

/** An agent's counts of the requests that it took over. */
interface Counts {
  readonly resent: number;
  readonly executedBefore: number;
}

const KINDS = ["fsync", "replace", "names", "append", "mapped", "unlinked", "listing", "rollback", "wal"];
/** How long a new agent lives before it is killed. */
const [LEAST_MS, MOST_MS] = [100, 1_200];
const [EARLY, START_MS] = [0.2, 400];
const space = workspace("agent-kills");
const { url, ...asked } = await storage(space);
const rest = asked.rest.filter((arg) => arg !== "--slots");
if (process.argv.includes("--slots")) space.env["SYNCLINE_FUSE_RESEND"] = "off";
const [kills, upgrades] = [Number(rest[0] ?? 50), Number(rest[1] ?? 20)];
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const stop = join(space.path, "stop");
const postgres = await postgresIn(join(a.dir, "postgres"));
const programs = [
  ...KINDS.map((kind) => program("python3", [join(checkout, "scripts/drills/enduring.py"), kind, a.dir, stop])),
  git(),
  ...(postgres === undefined ? [] : [pgbench(postgres)]),
];
const supervisor = supervisorOf(a.pid);
if (supervisor === undefined) throw new Error("the mount has no supervisor");

/** How long programs waited: after one kill, and after a kill whose next agent was killed while it started. */
const [gaps, longer]: [number[], number[]] = [[], []];
for (let number = 0; number < kills; number++) {
  await pause(LEAST_MS + Math.random() * (MOST_MS - LEAST_MS));
  const began = performance.now();
  await killed();
  // Now and then the next agent is killed while it starts.
  const isEarly = Math.random() < EARLY;
  if (isEarly) {
    await pause(Math.random() * START_MS);
    await killed();
  }
  // The kernel never answers this from its cache, as it may a listing.
  statfsSync(a.dir);
  (isEarly ? longer : gaps).push(performance.now() - began);
}
report(`      ${gaps.length} kills; the next agent answers ${after(gaps)}`);
report(`      ${longer.length} kills, each with another while the next agent started; answered ${after(longer)}`);
const [replaced, waited]: [number[], number[]] = [[], []];
// The command also runs the program on disk once, while the agent still serves.
const probe = probing();
for (let number = 0; number < upgrades; number++) {
  await pause(LEAST_MS + Math.random() * (MOST_MS - LEAST_MS));
  const { status, stdout, stderr } = await start(space, ["upgrade", a.dir, "--state", a.state, "--json"]);
  if (status !== 0) check(false, `upgrade ended with ${status}: ${stderr}`);
  replaced.push((JSON.parse(stdout) as { ms: number }).ms);
  waited.push(probe.takeLongest());
}
await probe.worker.terminate();
report(`      ${upgrades} upgrades, each ${after(replaced)}; programs waited ${after(waited).replace("after ", "")}`);
const logs = readdirSync(a.state).map((name) => join(a.state, name, "agent.log"));
const logged = logs.map((log) => (existsSync(log) ? readFileSync(log, "utf8") : "")).join("");
const took = [...logged.matchAll(/Took over.*?(\{.*?\})/g)].map(([, counts = ""]) => JSON.parse(counts) as Counts);
const sum = (which: keyof Counts) => took.reduce((total, counts) => total + counts[which], 0);
report(
  `      sent again: ${sum("resent")} requests; ${sum("executedBefore")} of them had been executed and got the same answer`,
);
writeFileSync(stop, "");
const told = await Promise.all(programs);
for (const { kind, done, errors, longestMs } of told) {
  report(`      ${kind}: ${done} rounds, longest call ${longestMs} ms${errors.map((error) => `; ${error}`).join("")}`);
}
const failed = told.flatMap(({ errors }) => errors);
check(failed.length === 0, `${told.length} programs saw ${failed.length} errors`);
check(
  told.every(({ done }) => done > 0),
  "each program made progress",
);
if (postgres !== undefined) {
  space.pids.delete(postgres.pid);
  await postgres.stop("SIGTERM");
  const complaints = postgres.log.match(/^.*(PANIC|FATAL|ERROR|WARNING):.*$/gm) ?? [];
  check(complaints.length === 0, `PostgreSQL logs no error${complaints.slice(0, 3).join("; ")}`);
}
a.pid = agentOf(supervisor, a.pid);
a.flush();
const before = fingerprint(a.dir);
const b = agent(space, "b", url);
check(differences(before, fingerprint(b.dir)).length === 0, `${before.size} paths are the same on another machine`);
writeFileSync(join(a.dir, "last"), "saved before both were killed\n");
await a.kill9();
a.mount();
check(
  readFileSync(join(a.dir, "last"), "utf8") === "saved before both were killed\n",
  "after both are killed, a new mount has everything",
);
check(differences(before, fingerprint(a.dir, { skip: (path) => path === "last" })).length <= 1, "the same tree");
a.flush();
a.unmount();
b.unmount();
check(syncline(space, ["verify", url]).status === 0, "verify finds nothing");

function after(ms: readonly number[]): string {
  if (ms.length === 0) return "never";
  return `after p50 ${percentile(ms, 0.5).toFixed(0)} ms, max ${Math.max(...ms).toFixed(0)} ms`;
}

/** Asks the mount again and again. `takeLongest`: how long the longest call took since it was last asked. */
function probing(): { readonly worker: Worker; takeLongest(): number } {
  const code = `
    const { statfsSync } = require("node:fs");
    const { parentPort, workerData } = require("node:worker_threads");
    setInterval(() => {
      const began = performance.now();
      statfsSync(workerData);
      parentPort.postMessage(performance.now() - began);
    }, 5);`;
  const worker = new Worker(code, { eval: true, workerData: a.dir });
  let longest = 0;
  worker.on("message", (ms: number) => (longest = Math.max(longest, ms)));
  const takeLongest = () => {
    const taken = longest;
    longest = 0;
    return taken;
  };
  return { worker, takeLongest };
}

async function killed(): Promise<void> {
  const victim = agentOf(supervisor ?? 0, a.pid);
  kill(victim);
  await until(() => agentOf(supervisor ?? 0, a.pid) !== victim, 10_000, "the next agent");
}

function program(command: string, args: readonly string[]): Promise<Told> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  space.pids.add(pidOf(child));
  let text = "";
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  return new Promise((done) =>
    child.on("close", (status) => {
      const last = text.trim().split("\n").at(-1) ?? "";
      const isTold = last.startsWith("{");
      done(
        isTold
          ? (JSON.parse(last) as Told)
          : { kind: args.join(" "), done: 0, errors: [`ended with ${status}: ${last}`], longestMs: 0 },
      );
    }),
  );
}

/** PostgreSQL's own user must be able to reach its folder. */
async function postgresIn(folder: string): Promise<PostgresServer | undefined> {
  if (postgresHere() === undefined) return undefined;
  chmodSync(space.path, 0o755);
  mkdirSync(folder);
  const server = await PostgresServer.start(folder);
  space.pids.add(server.pid);
  return server;
}

/** Runs transactions until the end. Each that was acknowledged must be there exactly once. */
function pgbench({ url: database }: PostgresServer): Promise<Told> {
  const script = `
    PATH=$3:$PATH; pgbench -i -q -s 1 "$1" >/dev/null 2>&1 || { echo "pgbench cannot begin"; exit 1; }; n=0
    while pgbench -n -c 2 -t 10 "$1" >/dev/null || { echo "pgbench failed in round $n"; exit 1; }; do
      n=$((n + 1))
      [ ! -e "$2" ] || break
    done
    [ "$(psql -Atc 'select count(*) from pgbench_history' "$1")" = "$((n * 20))" ] || { echo "transactions are missing"; exit 1; }
    echo "{\\"kind\\":\\"postgres\\",\\"done\\":$n,\\"errors\\":[],\\"longestMs\\":0}"`;
  return program("bash", ["-c", script, "pgbench", database, stop, postgresHere() ?? ""]);
}

/** Commits until the end. Then git checks its own files. */
function git(): Promise<Told> {
  const folder = join(a.dir, "git");
  mkdirSync(folder);
  run("git", ["init", "-q", folder]);
  const script = `
    cd "$1"; git config user.name drill; git config user.email drill@example.org; git config gc.auto 0; n=0
    while [ ! -e "$2" ]; do
      echo $n > "file-$((n % 30))" && git add -A && git commit -q -m "commit $n" || { echo "git failed in round $n"; exit 1; }
      n=$((n + 1))
    done
    git fsck --full 2>&1 | grep -v "^dangling\\|^Checking" && exit 1
    [ "$(git rev-list --count HEAD)" = "$n" ] || { echo "commits are missing"; exit 1; }
    echo "{\\"kind\\":\\"git\\",\\"done\\":$n,\\"errors\\":[],\\"longestMs\\":0}"`;
  return program("bash", ["-c", script, "git", folder, stop]);
}
