/**
 * Agents write through two masters in network namespaces of their own, while the master in use is cut off from the agents, cut off from
 * PostgreSQL, stopped, or killed, in random order. Nothing fences it: afterwards it goes on where it was. No acknowledged commit is
 * missing, and it is told how long writers had to wait.
 *   node scripts/drills/failover.ts [ROUNDS of each, default 5] [AGENTS, default 8]      needs Linux, root, iproute2 and nftables
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { askAgent } from "../../src/agent/control.ts";
import { systemRandom } from "../../src/base/random.ts";
import {
  agent,
  type AgentHandle,
  check,
  checkHistory,
  commitsOf,
  differences,
  fingerprint,
  join,
  type MasterHandle,
  mkdirSync,
  pause,
  percentile,
  report,
  run,
  syncline,
  until,
  workspace,
} from "./lib.ts";
import { allOf, shared, skip } from "./shared-masters.ts";

const KINDS = ["cut off from agents", "cut off from PostgreSQL", "stopped", "killed"] as const;
type Kind = (typeof KINDS)[number];

interface Commit {
  readonly file: string;
  readonly root: string;
  readonly beganMs: number;
  readonly ms: number;
}

interface Host {
  readonly namespace: string;
  readonly master: MasterHandle;
}

/** How long a master is away, and between two disturbances. */
const [AWAY_MS, BETWEEN_MS] = [8_000, 3_000];
const HUB = "198.51.100.1";
const [rounds, count] = [Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 8)];
const space = workspace("failover");
if (spawnSync("nft", ["--version"]).error !== undefined) skip("nftables is not installed");
// The namespaces are on this machine.
space.env["SYNCLINE_INSECURE"] = "true";
connectHosts();
const { postgres, master } = await shared(space, HUB);
const hosts: Host[] = [];
for (const which of [1, 2]) {
  const namespace = nameOf(which);
  const options = { host: `198.51.100.${1 + which}`, within: ["ip", "netns", "exec", namespace] };
  hosts.push({ namespace, master: await master([], options) });
}
const url = allOf(hosts.map((one) => one.master));
syncline(space, ["init", url]);
const agents = Array.from({ length: count }, (_, which) => agent(space, `agent-${which}`, url));
const commits: Commit[] = [];
const quiet: number[] = [];
const stalls = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
const writing = { isOver: false };
/** When the writer of this number began to wait. */
const waitingSince: (number | undefined)[] = [];
const writers = agents.map(write);

await pause(5 * BETWEEN_MS);
quiet.push(...commits.map(({ ms }) => ms));
const order = KINDS.flatMap((kind) => Array.from({ length: rounds }, () => ({ kind, at: systemRandom.fraction() })));
for (const { kind } of order.toSorted((a, b) => a.at - b.at)) {
  const victim = inUse();
  const beganMs = performance.now();
  const end = await disturb(victim, kind);
  await pause(AWAY_MS);
  await end();
  await pause(BETWEEN_MS);
  const touched = commits.filter((one) => one.beganMs + one.ms > beganMs);
  const worst = Math.max(...touched.map(({ ms }) => ms), ...agents.map((_, which) => waitingMs(which)));
  stalls.get(kind)?.push(worst);
  report(`      ${victim.namespace} ${kind}: ${touched.length} commits, the longest ${(worst / 1000).toFixed(2)} s`);
}
writing.isOver = true;
await Promise.all(writers);

for (const one of agents) one.flush();
const isOneRoot = () => new Set(agents.map(({ status }) => status().base)).size === 1;
await until(isOneRoot, 60_000, "one root on all", 100);
check(true, `${agents.length} agents stand on one root`);
const [first] = agents;
if (first === undefined) throw new Error("no agent is given");
const tree = fingerprint(first.dir);
check(
  agents.every(({ dir }) => differences(tree, fingerprint(dir)).length === 0),
  `one tree on all: ${tree.size} paths`,
);
check(![...tree.keys()].some((path) => path.includes("(conflict ")), "no conflict copies");
check(
  commits.every(({ file }) => readFileSync(join(first.dir, file), "utf8") === `${file}\n`),
  `${commits.length} files whose commit was acknowledged have their bytes`,
);
const log = commitsOf(space, url);
const roots = new Set(log.map(({ root }) => root));
const lost = commits.filter(({ root }) => !roots.has(root)).length;
check(lost === 0, `${commits.length} acknowledged commits, ${lost} of them lost`);
checkHistory(log);
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
for (const one of agents) one.unmount();
report(`      undisturbed: a commit takes ${told(quiet)}`);
for (const [kind, worst] of stalls) report(`      ${kind}: the longest wait of each round ${told(worst)}`);

function told(all: readonly number[]): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  return `p50 ${seconds(percentile(all, 0.5))}, max ${seconds(Math.max(...all))}`;
}

/** One small file after the other, each with a flush that says when it is in the bucket. */
async function write({ dir, state }: AgentHandle, which: number) {
  mkdirSync(join(dir, `writer-${which}`));
  const [own = ""] = globSync("**/control.sock", { cwd: state });
  for (let number = 0; !writing.isOver; number++) {
    const file = `writer-${which}/${number}`;
    const beganMs = performance.now();
    waitingSince[which] = beganMs;
    writeFileSync(join(dir, file), `${file}\n`);
    let root: string | undefined;
    await until(
      async () => (root = await published(join(state, dirname(own)))) !== undefined,
      120_000,
      `${file} to be published`,
      20,
    );
    commits.push({ file, root: root ?? "", beganMs, ms: performance.now() - beganMs });
    waitingSince[which] = undefined;
    await pause(100);
  }
}

/** The root that has all that was written; undefined: not yet. */
async function published(state: string): Promise<string | undefined> {
  const { published: isPublished, root } = await askAgent(state, { call: "flush" });
  return isPublished ? (root ?? undefined) : undefined;
}

/** How long a writer has been waiting. */
function waitingMs(which: number): number {
  const sinceMs = waitingSince[which];
  return sinceMs === undefined ? 0 : performance.now() - sinceMs;
}

/** The host that most agents use. */
function inUse(): Host {
  const used = agents.flatMap(({ status }) => status().masters ?? []).filter((one) => one.used);
  const users = ({ master: { origin } }: Host) => used.filter(({ address }) => address === origin).length;
  const [most] = hosts.toSorted((a, b) => users(b) - users(a));
  if (most === undefined) throw new Error("no host");
  return most;
}

/** Returns what ends it. */
async function disturb({ namespace, master: one }: Host, kind: Kind): Promise<() => Promise<unknown>> {
  if (kind === "stopped") {
    one.pause();
    return async () => one.resume();
  }
  if (kind === "killed") {
    await one.stop("SIGKILL");
    return () => one.start();
  }
  const port = kind === "cut off from agents" ? new URL(one.origin).port : new URL(postgres.url).port;
  const rule = (hook: string) =>
    `chain ${hook} { type filter hook ${hook} priority 0; tcp dport ${port} drop; tcp sport ${port} drop; };`;
  run("ip", ["netns", "exec", namespace, "nft", `table inet cut { ${rule("input")} ${rule("output")} }`]);
  return async () => run("ip", ["netns", "exec", namespace, "nft", "delete table inet cut"]);
}

/** A namespace for each master, and cables to a bridge that agents and servers share. */
function connectHosts() {
  const bridge = `sl${process.pid}`;
  run("ip", ["link", "add", bridge, "type", "bridge"]);
  space.cleanups.push(() => run("ip", ["link", "del", bridge]));
  run("ip", ["address", "add", `${HUB}/24`, "dev", bridge]);
  run("ip", ["link", "set", bridge, "up"]);
  for (const which of [1, 2]) {
    const name = nameOf(which);
    run("ip", ["netns", "add", name]);
    space.cleanups.push(() => run("ip", ["netns", "del", name]));
    const end = `${bridge}v${which}`;
    run("ip", ["link", "add", end, "master", bridge, "type", "veth", "peer", "name", "eth0", "netns", name]);
    run("ip", ["link", "set", end, "up"]);
    const inside = ["netns", "exec", name, "ip"];
    run("ip", [...inside, "address", "add", `198.51.100.${1 + which}/24`, "dev", "eth0"]);
    run("ip", [...inside, "link", "set", "eth0", "up"]);
    run("ip", [...inside, "link", "set", "lo", "up"]);
  }
}

function nameOf(which: number): string {
  return `syncline-${process.pid}-${which}`;
}
