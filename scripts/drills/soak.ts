/**
 * Hours of ordinary work in a mount, on data that stays the same size: git, SQLite, rsync, another agent's files, reading
 * everything, and a collection now and then. Every few minutes it prints the most that the agents used: memory, descriptors,
 * threads, journal, overlay, cache. None of these may grow; of memory, what an agent keeps between its own collections.
 *   node scripts/drills/soak.ts [MINUTES, default 120] [EVERY, default 10] [--master | --masters | --s3 | --s3=numbered]
 */
import { spawn } from "node:child_process";
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import {
  agent,
  type AgentHandle,
  check,
  cpuMs,
  differences,
  existsSync,
  fingerprint,
  join,
  mkdirSync,
  pause,
  pidOf,
  report,
  rssMiB,
  run,
  start,
  storage,
  syncline,
  workspace,
} from "./lib.ts";

/** The most of each, and the least memory: an agent that is collecting has one more thread, with a heap of its own. */
type Window = Sample & Readonly<Record<"leastRss", number>>;

/** What an agent uses: MiB, and counts. */
type Sample = Readonly<Record<"rss" | "descriptors" | "threads" | "journal" | "overlay" | "cache", number>>;

const KEYS = ["rss", "descriptors", "threads", "journal", "overlay", "cache"] as const;
const MiB = 1024 * 1024;
const CACHE_MIB = 64;
const [SAMPLE_MS, GC_MS] = [5_000, 300_000];
/** The largest growth allowed. A leak of any of these would exceed it within an hour. */
const GROWTH = 1.25;
/** Differences below this are chance. */
const SLACK: Sample = { rss: 20, descriptors: 8, threads: 4, journal: 16, overlay: 16, cache: 8 };
const [COMMITS, ROWS, FILES, TREE] = [200, 2_000, 200, 300];
const space = workspace("soak");
const { url, rest } = await storage(space);
const [minutes, every] = [Number(rest[0] ?? 120), Number(rest[1] ?? 10)];
syncline(space, ["init", url]);
const args = ["--cache-size", `${CACHE_MIB}MiB`];
const agents = [agent(space, "a", url, { args }), agent(space, "b", url, { args })] as const;
const [a, b] = agents;
const began = performance.now();
const isOver = () => performance.now() - began > minutes * 60_000;
const rounds = { git: 0, sqlite: 0, rsync: 0, other: 0, read: 0, collections: 0 };

const windows: Window[] = [];
await Promise.all([git(), sqlite(), rsync(), others(), readAll(), collect(), watch()]);

report(`      rounds: ${JSON.stringify(rounds)}`);
check(
  Object.values(rounds).every((count) => count > 0),
  "each kind of work made progress, and none saw an error",
);
run("git", ["-C", join(a.dir, "git"), "fsck", "--full"]);
const [first, ...later] = windows;
if (first === undefined || later.length === 0) throw new Error("a soak takes two windows at least");
for (const key of KEYS) {
  // The first window is skipped: it has start-up, and caches that fill.
  const level = key === "rss" ? "leastRss" : key;
  const [early = 0, ...after] = later.map((each) => each[level]);
  const most = Math.max(early, ...after);
  check(most <= early * GROWTH + SLACK[key], `${level} stays level: ${windows.map((each) => each[level]).join(", ")}`);
}
for (const each of agents) each.flush();
await pause(3_000);
check(differences(fingerprint(a.dir), fingerprint(b.dir)).length === 0, "both mounts show the same tree");
for (const each of agents) each.unmount();
check(syncline(space, ["verify", url]).status === 0, "verify finds nothing");
process.exit(0);

async function watch(): Promise<void> {
  let most = sample();
  let leastRss = most.rss;
  let cpu = agents.map(({ pid }) => cpuMs(pid));
  for (let window = 1; !isOver();) {
    await pause(SAMPLE_MS);
    const now = sample();
    most = eachOf((key) => Math.max(most[key], now[key]));
    leastRss = Math.min(leastRss, now.rss);
    if (performance.now() - began < window * every * 60_000) continue;
    window++;
    const after = agents.map(({ pid }) => cpuMs(pid));
    const used = after.map((ms, index) => Math.round((ms - (cpu[index] ?? 0)) / 1_000));
    report(
      JSON.stringify({ minute: Math.round((performance.now() - began) / 60_000), ...most, leastRss, cpuSeconds: used }),
    );
    windows.push({ ...most, leastRss });
    [most, leastRss, cpu] = [now, now.rss, after];
  }
}

/** The higher figures of the two agents. */
function sample(): Sample {
  const each = agents.map(sampleOf);
  return eachOf((key) => Math.max(...each.map((one) => one[key])));
}

function sampleOf({ pid, state }: AgentHandle): Sample {
  const folder = readdirSync(state).find((name) => existsSync(join(state, name, "journal"))) ?? "";
  const sizes = (names: readonly string[]) =>
    Math.round(names.reduce((sum, name) => sum + bytesBelow(join(state, folder, name)), 0) / MiB);
  return {
    rss: Math.round(rssMiB(pid)),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
    journal: sizes(["journal"]),
    overlay: sizes(["data", "overlay.db", "overlay.db-wal"]),
    cache: sizes(["cache"]),
  };
}

function eachOf(value: (key: (typeof KEYS)[number]) => number): Sample {
  return Object.fromEntries(KEYS.map((key) => [key, value(key)])) as unknown as Sample;
}

/** How much disk space the files below a path use. Files may come and go meanwhile. */
function bytesBelow(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 0;
  if (!found.isDirectory()) return found.blocks * 512;
  return readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0);
}

async function git(): Promise<void> {
  const folder = join(a.dir, "git");
  for (; !isOver(); rounds.git++) {
    if (rounds.git % COMMITS === 0) {
      rmSync(folder, { recursive: true, force: true });
      await ended("git", ["init", "-q", folder]);
    }
    for (let file = 0; file < 5; file++) writeFileSync(join(folder, `f${file}`), `${rounds.git} `.repeat(2_000));
    await ended("git", ["-C", folder, "add", "-A"]);
    const who = ["-c", "user.name=drill", "-c", "user.email=drill@example.org"];
    await ended("git", ["-C", folder, ...who, "commit", "-q", "-m", `commit ${rounds.git}`]);
    await pause(1_000);
  }
}

async function sqlite(): Promise<void> {
  const file = join(a.dir, "rows.db");
  const sql = (text: string) => ended("sqlite3", ["-bail", file, text]);
  await sql("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT)");
  for (; !isOver(); rounds.sqlite++) {
    await sql(`BEGIN; INSERT INTO rows (text) SELECT hex(randomblob(200)) FROM generate_series(1, 20);
      DELETE FROM rows WHERE number <= (SELECT max(number) FROM rows) - ${ROWS}; COMMIT; PRAGMA quick_check`);
    await pause(500);
  }
}

async function rsync(): Promise<void> {
  const source = join(space.path, "source");
  mkdirSync(source);
  for (; !isOver(); rounds.rsync++) {
    for (let file = 0; file < TREE; file++) {
      if (rounds.rsync > 0 && (file + rounds.rsync) % 10 > 0) continue;
      writeFileSync(join(source, `f${file}`), `${rounds.rsync} ${file}\n`.repeat(1_000));
    }
    await ended("rsync", ["-a", "--delete", `${source}/`, join(a.dir, "rsync")]);
    await pause(10_000);
  }
}

async function others(): Promise<void> {
  const folder = join(b.dir, "others");
  mkdirSync(folder);
  for (; !isOver(); rounds.other++) {
    const name = join(folder, `f${rounds.other % FILES}`);
    if (rounds.other % 3 === 0) rmSync(name, { force: true });
    else writeFileSync(name, `${rounds.other}\n`.repeat(2_000));
    await pause(300);
  }
}

/** Reads all files. Some may go away meanwhile. */
async function readAll(): Promise<void> {
  for (; !isOver(); rounds.read++) {
    for (const { dir } of agents) await ended("tar", ["-cf", "/dev/null", "--ignore-failed-read", dir], [0, 1]);
    await pause(20_000);
  }
}

async function collect(): Promise<void> {
  while (!isOver()) {
    const { status, stderr } = await start(space, ["gc", url]);
    // A collection gives up when others keep publishing.
    if (status === 0) rounds.collections++;
    else if (status !== 4) check(false, `a collection ended with ${status}: ${stderr}`);
    for (const from = performance.now(); !isOver() && performance.now() - from < GC_MS;) await pause(1_000);
  }
}

async function ended(command: string, words: readonly string[], good: readonly number[] = [0]): Promise<void> {
  const child = spawn(command, words, { stdio: ["ignore", "ignore", "pipe"] });
  space.pids.add(pidOf(child));
  let text = "";
  child.stderr.on("data", (data: Buffer) => (text += data.toString()));
  const status = await new Promise<number | null>((done) => child.once("close", done));
  space.pids.delete(pidOf(child));
  if (!good.includes(status ?? -1)) check(false, `${command} ${words.join(" ")} ended with ${status}: ${text}`);
}
