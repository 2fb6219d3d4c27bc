/**
 * What an agent takes of memory, and how long programs wait, while many files are made, while the bucket is away, after a kill,
 * and in a bucket of many files. Prints a JSON line a step: resident MiB at its end and at most, the longest call, CPU of the agent;
 * with `--master` also what the master takes.
 *   node scripts/drills/memory.ts [FILES to make, default 100000; 0: not that part] [FILES in the bucket, default 1000000; 0: not that part] [--master]
 * With --keep=FOLDER the bucket of many files is made there once and used again.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { AgentStatus } from "../../src/agent/reports.ts";
import {
  agent,
  type AgentHandle,
  check,
  cpuMs,
  join,
  report,
  start,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";
import { bucketOfFiles, pathOf } from "./many-files.ts";

/** Runs what it is given and notes how long that took. */
type Timed = <Result>(call: () => Result) => Result;

const [files = 100_000, inBucket = 1_000_000] = process.argv
  .slice(2)
  .filter((arg) => !arg.startsWith("--"))
  .map(Number);
const IDLE_MS = 4_000;

if (files > 0) await whileWriting();
if (inBucket > 0) await inLargeBucket();

async function whileWriting(): Promise<void> {
  const space = workspace("memory");
  const { url, away, back } = await storage(space);
  if (away === undefined || back === undefined) throw new Error("this bucket cannot be taken away");
  syncline(space, ["init", url]);
  const a = agent(space, "a", url);
  await step(a, "start", () => {});
  await step(a, `make ${files} files of 100 bytes`, (timed) => make(join(a.dir, "many"), files, timed));
  await step(a, "flush", () => a.flush());
  await step(a, `${IDLE_MS / 1000} s later`, () => idle());

  await away();
  await step(a, `make ${files} files while the bucket is away`, (timed) => make(join(a.dir, "offline"), files, timed));
  await a.kill9();
  spawnSync("umount", ["-l", a.dir]);
  const began = performance.now();
  a.mount();
  report(JSON.stringify({ what: "start after kill -9, the bucket away", ms: Math.round(performance.now() - began) }));
  await step(a, "list what is not published", () =>
    check(readdirSync(join(a.dir, "offline")).length > 0, "it is there"),
  );
  await back();
  await step(a, "publish it when the bucket is back", async (timed) => {
    let flushed = false;
    void start(space, ["flush", a.dir, "--state", a.state]).then(() => (flushed = true));
    // A serving thread that is held up shows in the longest of these.
    await until(() => timed(() => writeFileSync(join(a.dir, "probe"), "")) ?? flushed, 600_000, "the flush");
  });
  check(a.status().pending.files <= 2, "it is published");
  await step(a, `${IDLE_MS / 1000} s later`, () => idle());
  a.unmount();
}

async function inLargeBucket(): Promise<void> {
  const space = workspace("memory-large");
  const keep = process.argv.find((arg) => arg.startsWith("--keep="))?.slice("--keep=".length) ?? space.path;
  const { url, master } = await storage(space, { parent: keep });
  const reportMaster = () => master && report(JSON.stringify({ what: "the master", ...memoryOf(master.pid) }));
  const made = join(keep, `${inBucket} files`);
  if (!existsSync(made)) {
    const began = performance.now();
    await bucketOfFiles(space, url, inBucket);
    report(JSON.stringify({ what: `make a bucket of ${inBucket} files`, ms: Math.round(performance.now() - began) }));
    writeFileSync(made, "");
  }
  reportMaster();
  const a = agent(space, "a", url);
  const first = firstListing(a);
  report(JSON.stringify({ what: "first ls, cold", ...first }));
  for (let round = 0; round < 3; round++) {
    const before = a.status().published;
    await step(a, "change one file and flush", () => {
      writeFileSync(join(a.dir, ...pathOf(inBucket - 1 - round * 1_111, inBucket)), `changed ${round}`);
      a.flush();
    });
    const after = a.status().published;
    const of = (figure: keyof AgentStatus["published"]) => after[figure] - before[figure];
    report(JSON.stringify({ blocks: of("uploadedBlocks"), bytes: of("uploadedBytes"), blocksRead: of("blocksRead") }));
  }
  const flat = join(a.dir, "flat");
  await step(a, "ls -l of the largest directory", () => run("ls", ["-l", flat]));
  await step(a, "find", () => run("find", [a.dir]));
  await step(a, `${IDLE_MS / 1000} s later`, () => idle());
  a.unmount();
  a.mount();
  report(JSON.stringify({ what: "first ls, warm", ...firstListing(a) }));
  a.unmount();
  reportMaster();
}

/** Does something and reports what it took. `action` gets a function that notes how long what it calls takes. */
async function step(a: AgentHandle, what: string, action: (timed: Timed) => unknown): Promise<void> {
  // Resident memory at most is counted anew from here.
  writeFileSync(`/proc/${a.pid}/clear_refs`, "5");
  const cpuBefore = cpuMs(a.pid);
  let longestMs = 0;
  const began = performance.now();
  await action((call) => {
    const called = performance.now();
    const result = call();
    longestMs = Math.max(longestMs, performance.now() - called);
    return result;
  });
  const ms = Math.round(performance.now() - began);
  const figures = { ms, longestMs: Math.round(longestMs), agentCpuMs: cpuMs(a.pid) - cpuBefore };
  report(JSON.stringify({ what, ...figures, ...memoryOf(a.pid) }));
}

/** Resident now, and at most since that was counted anew. */
function memoryOf(pid: number) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mebibytes = (field: string) => Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  return { rssMiB: mebibytes("VmRSS"), peakMiB: mebibytes("VmHWM") };
}

function make(root: string, count: number, timed: Timed): void {
  mkdirSync(root);
  for (let index = 0; index < count; index++) {
    const folder = join(root, `d${Math.floor(index / 1_000)}`);
    timed(() => {
      if (index % 1_000 === 0) mkdirSync(folder);
      writeFileSync(join(folder, `f${index}`), String(index).padEnd(100, "."));
    });
  }
}

function firstListing(a: AgentHandle) {
  const began = performance.now();
  const entries = readdirSync(a.dir).length;
  return { entries, ms: Math.round((performance.now() - began) * 10) / 10 };
}

function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  check(result.status === 0, `${command} ends well`);
}

function idle(): Promise<void> {
  return new Promise((done) => setTimeout(done, IDLE_MS));
}
