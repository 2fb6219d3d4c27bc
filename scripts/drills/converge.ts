/**
 * Agents on one bucket run random operations at once (churn.py), while the bucket is taken away now and then and agents
 * are killed and mounted again. Then all is quiet, and all agents, a new one and `get -r` show one tree; what was alone in
 * its folder is as on a local disk; each version that nobody replaced knowingly is there, or the history tells who
 * hit it unknowingly; verify is clean.
 *   node scripts/drills/converge.ts [SECONDS, default 20] [AGENTS, default 3] [SEED, default the time] [--master | --masters | --s3 | --s3=numbered]
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { appendFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { type Operation, unexplained } from "./accounting.ts";
import {
  agent,
  type AgentHandle,
  check,
  checkout,
  commitsOf,
  join,
  type LoggedCommit,
  mkdirSync,
  pathIn,
  pause,
  pidOf,
  report,
  run,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

type NamedAgent = AgentHandle & { readonly name: string };

/** A line of churn.py. */
interface Line extends Omit<Operation, "by"> {
  readonly sure: boolean;
  readonly made?: readonly string[];
  readonly gone?: readonly string[];
  /** Why the worker ended: on a line of its own. */
  readonly failed?: string;
}

interface WorkerEnd {
  readonly signal: NodeJS.Signals | null;
  readonly status: number | null;
  readonly stderr: string;
  readonly lines: readonly Line[];
}

interface Worker {
  readonly name: string;
  readonly child: ChildProcessWithoutNullStreams;
  lines: readonly Line[];
  readonly ended: Promise<WorkerEnd>;
}

/** What census.py tells of a path. */
interface Described {
  readonly xattrs: object;
  readonly links: number;
  readonly same: string;
  readonly owner: string;
  readonly tokens: readonly string[];
}

type Census = ReadonlyMap<string, Described>;

const space = workspace("converge");
const { url, rest, away, back } = await storage(space);
const seconds = Number(rest[0] ?? 20);
const count = Number(rest[1] ?? 3);
const seed = rest[2] ?? String(Date.now());
const scripts = join(checkout, "scripts/drills");
report(`seed ${seed}, ${seconds} s, ${count} agents, in ${space.path}`);
syncline(space, ["init", url]);
const agents = [..."abcdefgh"].slice(0, count).map((name) => Object.assign(agent(space, name, url), { name }));
const random = randomOf(seed);
const writers = new Map(agents.map((one) => [one.name, writerOf(one)]));
const workers = agents.map(({ name, dir }) => startWorker(name, dir));
const trouble = { deaths: 0, absences: 0 };
await Promise.all([killing(), hiding(), ending()]);
report(`${trouble.deaths} deaths of agents, ${trouble.absences} absences of the bucket`);
for (const worker of workers) {
  const { lines, status, signal, stderr } = await worker.ended;
  const failed = lines.find(({ failed }) => failed);
  if (failed !== undefined) report(JSON.stringify(failed, null, 1));
  check(
    status === 0,
    `worker ${worker.name}: its own folder is as on a local disk${status === 0 ? "" : ` (${signal ?? status})`}${stderr && `: ${stderr.slice(-2000)}`}`,
  );
}
const operations = workers.flatMap(({ name, lines }) => lines.map((line) => ({ ...line, by: name })));
report(`${operations.length} operations in the shared folder changed something`);
writeFileSync(join(space.path, "operations.json"), operations.map((line) => `${JSON.stringify(line)}\n`).join(""));

const began = performance.now();
await until(() => isQuiet(), 120_000, "all agents to stand on one root with nothing pending", 100).catch(
  (error: unknown) => {
    for (const one of agents) report(`${one.name}: ${JSON.stringify(one.status())}`);
    throw error;
  },
);
report(`quiet after ${((performance.now() - began) / 1000).toFixed(1)} s`);
const trees = new Map(agents.map(({ name, dir }) => [name, census(dir)]));
const first = treeOn("a");
for (const { name } of agents.slice(1)) {
  if (differing(first, treeOn(name)).length > 0) explain(name);
  same(first, treeOn(name), `a and ${name} show one tree`);
}
writeFileSync("/proc/sys/vm/drop_caches", "2");
for (const { name, dir } of agents)
  same(treeOn(name), census(dir), `${name} shows the same without the kernel's caches`);
const fresh = agent(space, "fresh", url);
same(first, census(fresh.dir), "a new agent shows the same tree");
fresh.unmount();
syncline(space, ["get", "-r", url, join(space.path, "got")]);
same(withoutAttributes(first), withoutAttributes(census(join(space.path, "got"))), "get -r gives the same tree");
const verified = syncline(space, ["verify", url, "--json"], { expect: [0, 8] });
check(verified.status === 0, `verify finds nothing: ${verified.stdout.trim().split("\n").at(-1)}`);

const present = new Set([...first.values()].flatMap(({ tokens }) => tokens));
const gone = new Set(operations.flatMap(({ gone = [] }) => gone));
const made = operations.filter(({ sure }) => sure).flatMap(({ made = [] }) => made);
const lost = made.filter((token) => !present.has(token) && !gone.has(token));
const copies = [...first.keys()].filter((path) => path.includes("(conflict ")).length;
const commits = commitsOf(space, url);
const treeOf = memory(treeAt);
const losses = unexplained(lost, { operations, commits, writers, treeAt: treeOf });
for (const token of losses.slice(0, 10)) report(`lost ${token}: ${history(token)}\n  ${whereabouts(token)}`);
if (lost.length > 0)
  report(`${lost.length - losses.length} versions were hit by who looked at what had been there before`);
check(
  losses.length === 0,
  `${made.length} versions: ${made.filter((token) => present.has(token)).length} are there, the others were replaced knowingly; ${copies} conflict copies`,
);
check(made.length > seconds, "the workers worked");
for (const { unmount } of agents) unmount();

/** What an agent shows in the end. */
function treeOn(name: string): Census {
  return there(trees.get(name));
}

function there<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("it is not there");
  return value;
}

async function killing() {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await pause(1500 + random() * 3000);
    if (performance.now() > end) return;
    const victim = there(agents[Math.floor(random() * count)]);
    appendFileSync(join(space.path, `deaths-${victim.name}`), "x");
    await victim.kill9();
    trouble.deaths++;
    victim.mount();
    appendFileSync(join(space.path, `deaths-${victim.name}`), "x");
  }
}

async function hiding() {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await pause(2000 + random() * 4000);
    if (performance.now() > end) return;
    await away?.();
    trouble.absences++;
    await pause(200 + random() * 2500);
    await back?.();
  }
}

async function ending() {
  await pause(seconds * 1000);
  for (const { child } of workers) child.stdin.end();
  await Promise.all(workers.map(({ ended }) => ended));
}

/** Makes the agent's folders, and answers which writer of the history it is: nobody else writes at that time. */
function writerOf({ name, dir, flush }: NamedAgent) {
  for (const folder of [`own-${name}`, "shared"]) mkdirSync(join(dir, folder), { recursive: true });
  const { root } = flush();
  const log = lines<LoggedCommit>(syncline(space, ["log", url, "--json"]).stdout);
  return there(log.find((commit) => commit.root === root)).writer;
}

function startWorker(name: string, dir: string) {
  const deaths = join(space.path, `deaths-${name}`);
  writeFileSync(deaths, "");
  const shadow = join(space.path, `shadow-${name}`);
  const child = spawn("python3", ["-B", join(scripts, "churn.py"), dir, name, seed, shadow, deaths]);
  space.pids.add(pidOf(child));
  let out = "";
  let stderr = "";
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<WorkerEnd>((done) =>
    child.once("close", (status, signal) => {
      worker.lines = lines<Line>(out);
      space.pids.delete(pidOf(child));
      done({ status, signal, stderr, lines: worker.lines });
    }),
  );
  const worker: Worker = { name, child, lines: [], ended };
  return worker;
}

function isQuiet() {
  for (const one of agents) one.flush({ expect: [0, 3, 4, 6] });
  const seen = agents.map((one) => one.status());
  return seen.every(
    ({ base, pending, lastError }) => base === seen[0]?.base && pending.files === 0 && lastError === null,
  );
}

function census(dir: string): Census {
  const printed = run("python3", ["-B", join(scripts, "census.py"), dir]);
  return new Map(Object.entries(JSON.parse(printed) as Record<string, Described>));
}

function differing(a: ReadonlyMap<string, object>, b: ReadonlyMap<string, object>) {
  const paths = [...new Set([...a.keys(), ...b.keys()])];
  return paths.filter((path) => JSON.stringify(a.get(path)) !== JSON.stringify(b.get(path)));
}

function same(a: ReadonlyMap<string, object>, b: ReadonlyMap<string, object>, claim: string) {
  const paths = differing(a, b);
  for (const path of paths.slice(0, 5))
    report(`${path}\n  ${JSON.stringify(a.get(path))}\n  ${JSON.stringify(b.get(path))}`);
  check(paths.length === 0, `${claim}: ${a.size} paths${paths.length > 0 ? `, ${paths.length} differ` : ""}`);
}

/** Whether it is the kernel, the agent or the bucket where two agents differ. */
function explain(name: string) {
  writeFileSync("/proc/sys/vm/drop_caches", "2");
  const anew = (one: string) => census(there(agents.find((agent) => agent.name === one)).dir);
  const [a, b] = [anew("a"), anew(name)];
  const fresh = census(agent(space, "witness", url).dir);
  const against = (which: string, tree: Census) =>
    report(`${which} differs from a new agent at ${differing(fresh, tree).slice(0, 5).join(", ") || "nothing"}`);
  against("a", first);
  against(name, treeOn(name));
  against("a without the kernel's caches", a);
  against(`${name} without the kernel's caches`, b);
}

/** What `get` does not bring out. */
function withoutAttributes(tree: Census) {
  return new Map([...tree].map(([path, { xattrs: _, links: __, same: ___, owner: ____, ...rest }]) => [path, rest]));
}

function history(token: string) {
  return operations
    .filter(({ made = [], gone: lost = [] }) => made.includes(token) || lost.includes(token))
    .map((line) => JSON.stringify(line))
    .join("\n  ");
}

/** In which commits' trees the version was, and whose commit has it no more. */
function whereabouts(token: string) {
  const steps: string[] = [];
  let before: string[] = [];
  for (const { seq, root, writer } of commits.toSorted((a, b) => a.seq - b.seq)) {
    const paths = [...treeOf(root)].filter(([, { tokens }]) => tokens.includes(token)).map(([path]) => path);
    const by = [...writers].find(([, known]) => known === writer)?.[0];
    if (paths.join() !== before.join()) steps.push(`${seq} by ${by}: ${paths.join(", ") || "gone"}`);
    before = paths;
  }
  return steps.join("; ") || "in no tree";
}

/** The census of the shared folder at an old root. */
function treeAt(root: string): Census {
  const target = join(space.path, "old");
  syncline(space, ["get", "-r", pathIn(url, "shared"), target, "--at", root], { expect: [0, 1] });
  const tree = existsSync(target) ? census(target) : new Map<string, Described>();
  rmSync(target, { recursive: true, force: true });
  return tree;
}

function memory<Value>(make: (key: string) => Value) {
  const known = new Map<string, Value>();
  return (key: string) => {
    const value = known.get(key) ?? make(key);
    known.set(key, value);
    return value;
  };
}

function lines<Value>(text: string) {
  return text
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Value);
}

/** Numbers in [0, 1) from a seed: xorshift. */
function randomOf(text: string) {
  let state = 2463534242;
  for (const char of text) state = (Math.imul(state, 31) + char.charCodeAt(0)) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
