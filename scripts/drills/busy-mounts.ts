/**
 * Two mounts of one bucket, both busy all the time: git commits, SQLite transactions, rsync of a small tree that changes. Prints
 * each minute for each agent its descriptors, how many of them are deleted files, and its resident memory. In the end hardly more
 * is open than at the start and no deleted file, and `verify` finds nothing; in runs of more than 20 minutes neither descriptors nor memory grow after those.
 *   node scripts/drills/busy-mounts.ts [MINUTES, default 5] [--master]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import {
  agent,
  type AgentHandle,
  check,
  cpuMs,
  join,
  pause,
  percentile,
  pidOf,
  randomOf,
  report,
  rssMiB,
  run,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

/** Some seconds longer than an agent waits until it gives back what its last epochs left. */
const IDLE_MS = 15_000;
type BusyAgent = (typeof agents)[number];
type Counts = Record<"commits" | "transactions" | "rsyncs", number>;

interface Sample {
  readonly descriptors: number;
  readonly deleted: number;
  readonly rssMiB: number;
  readonly cpuMs: number;
  readonly collecting?: true;
}

/** Between two steps of the same program: two mounts that are busy, not as busy as they can be. */
const PAUSE_MS = { git: 100, sqlite: 20, rsync: 500 };
/** Little, so that segments are removed from it within the first minutes. */
const CACHE_SIZE = "128 MiB";
const TREE_FILES = 200;
/** Caches and pools are full by then. */
const FULL_MINUTES = 20;
/** What medians over minutes may differ by: files are open while they are written and published, from 4 to 33 of them. */
const SLACK = { descriptors: 8, rssMiB: 12 };
/** What an agent has open after all of this, and had not before: the segments of its journal, eight of them for 32 MiB. */
const IDLE_MORE = 12;

const space = workspace("busy-mounts");
const { url, rest, master } = await storage(space);
const minutes = Number(rest[0] ?? 5);
syncline(space, ["init", url]);
const agents = ["a", "b"]
  .map((name) => Object.assign(agent(space, name, url, { args: ["--cache-size", CACHE_SIZE] }), { name }))
  .map((each) => Object.assign(each, { before: look(each) }));
for (const each of agents) report(JSON.stringify({ agent: each.name, at: "start", ...each.before }));

const life = { over: false };
const work = agents.map((each, at) => keepBusy(each, randomOf(at + 1)));
const samples = new Map(agents.map((each) => [each, [] as Sample[]]));
const began = performance.now();
for (let minute = 1; minute <= minutes; minute++) {
  while (performance.now() < began + minute * 60_000) {
    await pause(1_000);
    for (const each of agents) {
      samples.get(each)?.push(look(each));
    }
  }
  for (const each of agents) report(JSON.stringify({ agent: each.name, minute, ...look(each) }));
}
life.over = true;
for (const [at, counts] of (await Promise.all(work)).entries())
  check(
    Object.values(counts).every((count) => count > 0),
    `${agents[at]?.name} worked: ${JSON.stringify(counts)}`,
  );

await pause(IDLE_MS);
for (const each of agents) report(JSON.stringify({ agent: each.name, at: "idle", ...look(each) }));
for (const each of agents) each.flush();
await until(() => new Set(agents.map((each) => each.status().base)).size === 1, 60_000, "one root on both", 100);
await pause(IDLE_MS);
// A collection has files open of its own.
await until(() => !agents.some(({ pid }) => isCollecting(pid)), 600_000, "no collection", 500);
await pause(IDLE_MS);
for (const each of agents) {
  const after = look(each);
  report(JSON.stringify({ agent: each.name, at: "flushed", ...after }));
  const most = each.before.descriptors + IDLE_MORE;
  check(after.descriptors <= most, `${each.name}: descriptors when idle: ${after.descriptors} of at most ${most}`);
  const deleted = descriptorsOf(each.pid).filter(isDeleted);
  check(deleted.length === 0, `${each.name}: deleted files that are open: ${deleted.join(", ") || "none"}`);
}
for (const each of agents) each.unmount();
const stored = () => bytesBelow(master?.data ?? new URL(url).pathname);
const before = stored();
const collected = syncline(space, ["gc", url]).stdout.trim();
report(collected);
report(`the bucket: ${before} bytes, ${stored()} after gc`);
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
for (const each of agents) {
  if (minutes <= FULL_MINUTES) continue;
  doesNotGrow(each, "descriptors");
  doesNotGrow(each, "rssMiB");
}

/** Of what follows the time in which caches fill, the second half against the first one. */
function doesNotGrow(agent: BusyAgent, figure: keyof typeof SLACK) {
  const all = samples.get(agent) ?? [];
  const full = all.slice((all.length * FULL_MINUTES) / minutes);
  const median = (part: readonly Sample[]) => {
    const own = part.filter(({ collecting }) => collecting === undefined);
    return percentile(
      own.map((sample) => sample[figure]),
      0.5,
    );
  };
  const [early, late] = [median(full.slice(0, full.length / 2)), median(full.slice(full.length / 2))];
  const most = percentile(
    full.map((sample) => sample[figure]),
    1,
  );
  const claim = `${agent.name}: ${figure}: median ${early}, later ${late}, with a collection ${most} at most`;
  check(late <= early + SLACK[figure], claim);
}

/** Runs the three programs on a mount until life is over; answers how often each did something. */
async function keepBusy({ name, dir }: BusyAgent, random: () => number) {
  const counts: Counts = { commits: 0, transactions: 0, rsyncs: 0 };
  await Promise.all([
    commit(join(dir, `repo-${name}`), random, counts),
    transact(join(dir, `${name}.db`), counts),
    copy(join(space.path, `tree-${name}`), join(dir, `tree-${name}`), random, counts),
  ]);
  return counts;
}

async function commit(repo: string, random: () => number, counts: Counts) {
  const git = (...args: string[]) =>
    program("git", ["-C", repo, "-c", "user.name=d", "-c", "user.email=d@localhost", ...args]);
  run("git", ["init", "-q", repo]);
  while (!life.over) {
    writeFileSync(join(repo, `f${Math.floor(random() * 50)}.txt`), `${random()}\n`.repeat(200));
    await git("add", "-A");
    await git("commit", "-q", "-m", `commit ${counts.commits}`);
    counts.commits++;
    await pause(PAUSE_MS.git);
  }
  await git("fsck", "--full");
}

/** One process that holds the database open and commits a transaction at a time. */
async function transact(path: string, counts: Counts) {
  const script = `
import random, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.execute("pragma journal_mode=" + ("wal" if sys.argv[1].endswith("a.db") else "delete"))
db.execute("create table t (id integer primary key, what blob)")
for line in sys.stdin:
    db.execute("begin")
    for _ in range(10):
        db.execute("insert or replace into t values (?, ?)", (random.randrange(20000), random.randbytes(200)))
    db.execute("commit")
    print("done", flush=True)
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
db.close()
`;
  const child = spawn("python3", ["-c", script, path], { stdio: ["pipe", "pipe", "inherit"] });
  space.pids.add(pidOf(child));
  const ended = once(child, "exit");
  while (!life.over) {
    child.stdin.write("\n");
    const [answer] = await Promise.race([once(child.stdout, "data"), ended]);
    if (!Buffer.isBuffer(answer)) break;
    counts.transactions++;
    await pause(PAUSE_MS.sqlite);
  }
  child.stdin.end();
  const [status] = await ended;
  space.pids.delete(pidOf(child));
  check(status === 0, `${path.slice(space.path.length + 1)} is whole`);
}

async function copy(from: string, to: string, random: () => number, counts: Counts) {
  mkdirSync(from);
  const file = () => join(from, `f${Math.floor(random() * TREE_FILES)}`);
  for (let made = 0; made < TREE_FILES; made++) writeFileSync(join(from, `f${made}`), "x".repeat(random() * 20_000));
  while (!life.over) {
    for (let changed = 0; changed < 10; changed++) writeFileSync(file(), `${random()}`.repeat(random() * 5_000));
    rmSync(file(), { force: true });
    await program("rsync", ["-a", "--delete", `${from}/`, `${to}/`]);
    counts.rsyncs++;
    await pause(PAUSE_MS.rsync);
  }
}

async function program(command: string, args: readonly string[]) {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [status] = await once(child, "exit");
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
}

function look({ pid }: AgentHandle): Sample {
  const descriptors = descriptorsOf(pid);
  return {
    descriptors: descriptors.length,
    deleted: descriptors.filter(isDeleted).length,
    rssMiB: Math.round(rssMiB(pid)),
    cpuMs: cpuMs(pid),
    ...(isCollecting(pid) ? { collecting: true } : {}),
  };
}

/** Whether it has a thread now that collects the bucket's garbage, which takes memory of its own. */
function isCollecting(pid: number) {
  return readdirSync(`/proc/${pid}/task`).some((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim() === "collector";
    } catch {
      // It ended meanwhile.
      return false;
    }
  });
}

function descriptorsOf(pid: number) {
  return readdirSync(`/proc/${pid}/fd`).flatMap((number) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${number}`)];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

function isDeleted(target: string) {
  return target.endsWith(" (deleted)");
}

function bytesBelow(folder: string) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
