/**
 * The server is stopped (SIGSTOP), killed -9 and ended (SIGTERM), and started again, many times, while agents upload and swap and
 * commands put files: agents recover alone, no acknowledged commit is missing, every byte arrives, a master's data is clean each time.
 *   node scripts/drills/server-kills.ts [TIMES, default 20] [AGENTS, default 2] [--masters | --s3 | --s3=numbered] [--power]
 * With --masters, PostgreSQL, the S3 server and one of the masters are disturbed in turn. With --power, the S3 server's disk loses
 * its power each time. That disk is mounted with `sync`, since S3 promises that what it has answered is durable.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { AgentStatus } from "../../src/agent/reports.ts";
import { CutDisk } from "./cut-disk.ts";
import {
  agent,
  alive,
  check,
  checkHistory,
  checkout,
  commitsOf,
  differences,
  fingerprint,
  join,
  kill,
  mkdirSync,
  pathIn,
  pidOf,
  report,
  start,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

/** A process that appends to files in a folder, and what it told. */
interface Appender {
  readonly folder: string;
  readonly pid: number;
  records(): string;
  lines(): number;
}

interface Put {
  readonly name: string;
  readonly bytes: Buffer;
  readonly root: string;
}

const FILES = 4;
const BALLAST = 3 << 20;
const space = workspace("server-kills");
const disk = process.argv.includes("--power")
  ? new CutDisk(space, join(space.path, "disk"), "3G", ["sync"])
  : undefined;
const { url, master, s3, fleet, ...asked } = await storage(space, {
  otherwise: "master",
  ...(disk !== undefined && { parent: disk.path }),
});
const rest = asked.rest.filter((arg) => arg !== "--power");
const victims = fleet === undefined ? [master ?? s3] : [fleet.database, fleet.s3, ...fleet.masters];
const times = Number(rest[0] ?? 20);
syncline(space, ["init", url]);
const agents = Array.from({ length: Number(rest[1] ?? 2) }, (_, which) => agent(space, `agent-${which}`, url));
const [first, last] = [agents.at(0), agents.at(-1)];
if (first === undefined || last === undefined) throw new Error("no agent is given");
const ends = ["SIGKILL", "SIGSTOP", "SIGKILL", "SIGTERM"] as const;
const acknowledged: Put[] = [];
const told: Appender[] = [];
let answered = 0;

for (let round = 0; round < times; round++) {
  const appenders = agents.map(({ dir }, which) => append(join(dir, `round-${round}-${which}`)));
  for (const [which, { dir }] of agents.entries())
    writeFileSync(join(dir, `ballast-${round}-${which}`), randomBytes(BALLAST));
  const puts = [0, 1].map((which) => put(`put-${round}-${which}.bin`));
  await new Promise((next) => setTimeout(next, 150 + ((round * 397) % 1_500)));
  await disturb(victims[round % victims.length], ends[Math.floor(round / victims.length) % ends.length] ?? "SIGKILL");
  acknowledged.push(...(await Promise.all(puts)).filter((one) => one !== undefined));
  await until(() => appenders.every(({ lines }) => lines() > 40), 120_000, "records to be answered");
  for (const { pid } of appenders) kill(pid);
  await until(() => !appenders.some(({ pid }) => alive(pid)), 10_000, "the appenders to end");
  told.push(...appenders);
}
await until(() => agents.every(({ status }) => settled(status())), 120_000, "the agents to recover", 250);
for (const one of agents) one.flush();
const isOneRoot = () => new Set(agents.map(({ status }) => status().base)).size === 1;
await until(isOneRoot, 60_000, "one root on all", 100);
check(true, `${agents.length} agents recovered alone and stand on one root`);

const onA = fingerprint(first.dir);
const differing = agents.filter(({ dir }) => differences(onA, fingerprint(dir)).length > 0);
check(differing.length === 0, `one tree on all: ${onA.size} paths`);
check(![...onA.keys()].some((path) => path.includes("(conflict ")), "no conflict copies");
for (const { folder, records } of told) answered += checkRecords(inAgent(folder, last.dir), records());
check(answered > 0, `${answered} answered records of ${told.length} appenders are all there, on the last agent`);
const ballast = [...onA].filter(([path]) => path.startsWith("ballast-"));
check(ballast.length === agents.length * times, `${ballast.length} of ${agents.length * times} large files are there`);
const log = commitsOf(space, url);
const roots = new Set(log.map(({ root }) => root));
check(
  acknowledged.every(({ root }) => roots.has(root)),
  `all ${acknowledged.length} commits that were acknowledged to commands are in history`,
);
for (const { name, bytes } of acknowledged) {
  if (!readFileSync(join(last.dir, name)).equals(bytes)) check(false, `${name} has its bytes`);
}
checkHistory(log);
for (const one of agents) one.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify of the bucket finds nothing");
if (master !== undefined) {
  check((await master.stop()) === 0, "the master ends well");
  checkData("at the end");
}

/** The same folder as another agent shows it. */
function inAgent(folder: string, dir: string) {
  return join(dir, basename(folder));
}

/** Takes the server away for a moment, in one of the ways it can go. */
async function disturb(server: (typeof victims)[number], signal: NodeJS.Signals) {
  if (server === undefined) throw new Error("no server is given");
  if (disk !== undefined) {
    // From here on it answers nothing.
    kill(server.pid, "SIGSTOP");
    disk.mark();
    await server.stop("SIGKILL");
    disk.cut();
    return server.start();
  }
  if (signal === "SIGSTOP") {
    kill(server.pid, "SIGSTOP");
    await new Promise((next) => setTimeout(next, 2_000));
    return kill(server.pid, "SIGCONT");
  }
  await server.stop(signal);
  checkData(signal);
  return server.start();
}

function checkData(when: string) {
  if (master === undefined || fleet !== undefined) return;
  const { status, stdout, stderr } = master.verify();
  if (status !== 0) report(stdout + stderr);
  check(status === 0, `verify --data is clean after ${when}: ${stdout.trim().split("\n").at(-1)}`);
}

function settled({ online, pending }: AgentStatus) {
  return online && pending.files === 0;
}

function append(folder: string): Appender {
  mkdirSync(folder);
  const child = spawn(process.execPath, [join(checkout, "scripts/drills/appender.ts"), folder, String(FILES)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pid = pidOf(child);
  space.pids.add(pid);
  let text = "";
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  return { folder, pid, records: () => text, lines: () => text.split("\n").length };
}

/** What a command was told: undefined if it failed, which it may while the master is away. */
async function put(name: string): Promise<Put | undefined> {
  const bytes = randomBytes(50_000);
  const source = join(space.path, name);
  writeFileSync(source, bytes);
  const { status, stdout } = await start(space, ["put", source, pathIn(url, name), "--json"]);
  if (status !== 0) return undefined;
  const { root } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { root: string };
  return { name, bytes, root };
}

/** Checks that what was answered is there and in order. Answers how many records were. */
function checkRecords(folder: string, text: string) {
  const last = new Map<string, number>();
  for (const line of text.split("\n").slice(0, -1)) {
    const [, index = "", number] = line.split(" ");
    last.set(index, Math.max(last.get(index) ?? -1, Number(number)));
  }
  let records = 0;
  for (const [index, number] of last) {
    const lines = readFileSync(join(folder, `append-${index}.log`), "latin1").split("\n");
    const whole = lines
      .slice(0, number + 1)
      .every((line, at) => line.startsWith(`${index.padStart(3, "0")}:${String(at).padStart(8, "0")}:`));
    if (lines.length < number + 1 || !whole)
      check(false, `${folder}/append-${index}.log has its ${number + 1} records`);
    records += number + 1;
  }
  return records;
}
