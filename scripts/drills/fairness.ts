/**
 * Many agents keep flushing into one bucket, half of the time the same files: all is published, nobody starves, and together they
 * take little longer than one writer that does all of it.
 *   node scripts/drills/fairness.ts [AGENTS, default 32] [FLUSHES of each, default 50] [--master | --masters | --s3 | --s3=numbered] [--calls] [--apart]
 * With --calls it tells what a flush among them asks of the disks, too (disk-calls.ts). With --apart each agent has a bucket of its
 * own: what so many processes take that never meet.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  check,
  checkHistory,
  checkout,
  commitsOf,
  cpuMs,
  join,
  percentile,
  pidOf,
  report,
  storage,
  syncline,
  workspace,
} from "./lib.ts";

interface Flush {
  readonly attempts: number;
  readonly tries: number;
  readonly ms: number;
}

/** What a light agent says of its flushes. */
interface Account {
  readonly taken: readonly Flush[];
  readonly calls: Calls;
  readonly ms: number;
  readonly cpuMs: number;
}

type Calls = Readonly<Record<string, number>>;

/** What an agent allows one flush (base/limits.ts). */
const ATTEMPTS = 16;
const SHARED_FILES = 20;
/** Flushes of each before those that count: agents have been running for a while, and compiling their code is not what is asked. */
const WARM = 10;
const space = workspace("fairness");
const { url, rest, master } = await storage(space);
const numbers = rest.filter((word) => !word.startsWith("--")).map(Number);
const [agents, flushes] = [numbers[0] ?? 32, numbers[1] ?? 50];
const isCounted = rest.includes("--calls");
const areApart = rest.includes("--apart");
const names = Array.from({ length: agents }, (_, index) => `agent-${index}`);
const shared = join(space.path, "shared");
mkdirSync(shared);
for (let file = 0; file < SHARED_FILES; file++) writeFileSync(join(shared, String(file)), "nobody yet\n");

const one = `${url}-one`;
const buckets = areApart ? names.map((name) => `${url}-${name}`) : [`${url}-all`];
for (const bucket of [one, ...buckets]) {
  syncline(space, ["init", bucket]);
  syncline(space, ["put", "-r", shared, `${bucket}/shared`]);
}
let masterMs = 0;
const [alone] = await play([one], [names], agents * flushes);
if (alone === undefined) throw new Error("the one writer said nothing");
report(`one writer: ${agents * flushes} flushes in ${seconds(alone.ms)}, ${seconds(alone.cpuMs)} of CPU${masters()}`);

const ended = await play(
  buckets,
  names.map((name) => [name]),
  flushes,
);
const taken = ended.flatMap((agent) => agent.taken);
const of = (key: keyof Flush) => taken.map((flush) => flush[key]);
const spread = (values: readonly number[]) =>
  `p50 ${percentile(values, 0.5)}, p99 ${percentile(values, 0.99)}, p99.9 ${percentile(values, 0.999)}, max ${Math.max(...values)}`;
report(
  `${agents} agents: ${taken.length} flushes, the last agent ready after ${seconds(Math.max(...ended.map(({ ms }) => ms)))}, ${seconds(ended.reduce((sum, each) => sum + each.cpuMs, 0))} of CPU${masters()}`,
);
report(`the first agent ready after ${seconds(Math.min(...ended.map(({ ms }) => ms)))}`);
report(`attempts of a flush: ${spread(of("attempts"))}; sum ${of("attempts").reduce((a, b) => a + b)}`);
report(`ms of a flush: ${spread(of("ms").map(Math.round))}`);
report(`ratio to one writer: ${(Math.max(...ended.map(({ ms }) => ms)) / alone.ms).toFixed(2)}`);
if (isCounted) reportCalls(ended.map(({ calls }) => calls));
const late = taken.filter(({ tries }) => tries > 1).length;
check(taken.length === agents * flushes, `all ${agents * flushes} flushes are published`);
check(late <= taken.length / 1_000, `${late} of them took more than ${ATTEMPTS} attempts`);
const last = 2 * Math.floor((WARM + flushes - 1) / 2);
for (const [index, name] of names.entries()) {
  const { stdout } = syncline(space, ["cat", `${bucketOf(buckets, index)}/${name}/${last}`]);
  if (stdout !== `${name} ${last}\n`) check(false, `${name}'s last file has its bytes`);
}
check(true, "the last file of each agent has its bytes");
for (const bucket of buckets) {
  checkHistory(commitsOf(space, bucket));
  check(syncline(space, ["verify", bucket, "--json"]).status === 0, "verify finds nothing");
}

/** Where the agent of this index publishes. */
function bucketOf(some: readonly string[], index: number) {
  const bucket = some[index % some.length];
  if (bucket === undefined) throw new Error("there is no bucket");
  return bucket;
}

/** What the last flushes took of the master. */
function masters() {
  return master === undefined ? "" : ` and ${seconds(cpuMs(master.pid) - masterMs)} of the master's`;
}

/** Starts a light agent for each list of names, lets them begin together once all are warm, and answers what they say. */
async function play(some: readonly string[], lists: readonly (readonly string[])[], count: number): Promise<Account[]> {
  const started = await Promise.all(
    lists.map(async (own, index) => {
      const state = join(space.path, `state-${lists.length}-${index}`);
      mkdirSync(state, { recursive: true });
      const script = join(checkout, "scripts/drills/light-agent.ts");
      const child = spawn(
        process.execPath,
        [script, bucketOf(some, index), state, String(WARM * own.length), String(count), ...own],
        { env: isCounted ? { ...space.env, COUNT_CALLS: "1" } : space.env, stdio: ["pipe", "pipe", "inherit"] },
      );
      space.pids.add(pidOf(child));
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      return { child, lines };
    }),
  );
  for (const phase of ["to warm up", "to begin"]) {
    for (const { lines } of started) {
      if ((await lines.next()).value !== "ready") throw new Error(`An agent was not ready ${phase}.`);
    }
    if (master !== undefined) masterMs = cpuMs(master.pid);
    for (const { child } of started) child.stdin.write("go\n");
  }
  return Promise.all(
    started.map(async ({ child, lines }) => {
      const { value } = await lines.next();
      if (child.exitCode === null) await once(child, "close");
      space.pids.delete(pidOf(child));
      return JSON.parse(value) as Account;
    }),
  );
}

/** Of all agents, for one flush, the most frequent first. */
function reportCalls(counts: readonly Calls[]) {
  const sums = new Map<string, number>();
  for (const [key, calls] of counts.flatMap((count) => Object.entries(count)))
    sums.set(key, (sums.get(key) ?? 0) + calls);
  const rows = [...sums].sort(([, a], [, b]) => b - a);
  const each = (calls: number) => (calls / taken.length).toFixed(1);
  report(`calls of a flush: ${each(rows.reduce((sum, [, calls]) => sum + calls, 0))}`);
  for (const [key, calls] of rows) if (calls * 20 >= taken.length) report(`  ${each(calls)}  ${key}`);
}

function seconds(ms: number) {
  return `${(ms / 1000).toFixed(1)} s`;
}
