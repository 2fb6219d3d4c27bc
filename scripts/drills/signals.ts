/**
 * Signals to programs on a mount of a slow master: those that are caught end no call, cold or warm; those that are fatal end a
 * program that waits for a master out of reach within a second.
 *   node scripts/drills/signals.ts [FILES]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { agent, check, join, kill, master, mkdirSync, run, syncline, until, workspace } from "./lib.ts";
import { slowLine } from "./slow-line.ts";

/** What signals.py prints. */
interface Signalled {
  readonly caught: number;
  /** Call and error → how often. */
  readonly failed: Readonly<Record<string, number>>;
  readonly done: number;
}

const FILES = Number(process.argv[2] ?? 1_000);
const REPLY_DELAY_MS = 3;
const space = workspace("signals");
const served = await master(space);
const proxy = await slowLine(space, served.origin, REPLY_DELAY_MS);
const url = served.url();
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const KINDS = ["restart", "interrupt"];
for (const kind of KINDS) {
  mkdirSync(join(a.dir, kind));
  for (let at = 0; at < FILES; at++) {
    writeFileSync(join(a.dir, kind, `file-${at}`), `${at} `.repeat(1_000));
    mkdirSync(join(a.dir, kind, `directory-${at}`));
  }
}
check(a.flush().published, `${FILES} files and directories for each way to catch signals are published`);
a.unmount();

const b = agent(space, "b", `http://127.0.0.1:${proxy.port}/demo`);
for (const kind of KINDS) {
  const cold = python("calls", join(b.dir, kind), FILES, kind);
  fine(cold, `${FILES} cold stat, open, read, pwrite, fdatasync and rmdir, a signal each 2 ms (${kind})`);
  for (let at = 0; at < FILES; at++) mkdirSync(join(b.dir, kind, `directory-${at}`));
  fine(python("calls", join(b.dir, kind), FILES, kind), `the same, warm (${kind})`);
}
b.unmount();
const c = agent(space, "c", `http://127.0.0.1:${proxy.port}/demo`);
const walked = python("walk", c.dir);
fine(walked, `nftw of ${walked.done} cold names, a signal each 5 ms`);
check(walked.done === 3 + 2 * FILES, "nftw saw all of them");
const inserted = python("sqlite", c.dir);
fine(inserted, `${inserted.done} transactions of SQLite, a signal each 10 ms`);

kill(proxy.pid, "SIGSTOP");
let unread = 0;
for (const signal of ["SIGKILL", "SIGINT", "SIGTERM"] as const) {
  const took: number[] = [];
  for (let at = 0; at < 5; at++) took.push(await ends(join(c.dir, "restart", `file-${unread++}`), signal));
  check(
    Math.max(...took) < 1_000,
    `${signal} ends cat within ${Math.max(...took).toFixed(0)} ms, the master out of reach`,
  );
}
kill(proxy.pid, "SIGCONT");
c.unmount();

function python(mode: string, folder: string, ...args: (string | number)[]) {
  const script = join(import.meta.dirname, "signals.py");
  return JSON.parse(run("python3", [script, mode, folder, ...args.map(String)])) as Signalled;
}

function fine({ caught, failed }: Signalled, claim: string) {
  check(Object.keys(failed).length === 0, `${claim}: ${caught} signals, failed: ${JSON.stringify(failed)}`);
}

/** How long a signal takes to end a cat that waits for the bytes of a file that nobody has read here. */
async function ends(path: string, signal: NodeJS.Signals) {
  const program = spawn("cat", [path], { stdio: ["ignore", "ignore", "inherit"] });
  await until(() => /fuse|folio/.test(readFileSync(`/proc/${program.pid}/stack`, "utf8")), 10_000, "cat to wait");
  const ended = once(program, "exit");
  const began = performance.now();
  program.kill(signal);
  const [status, by] = (await ended) as [number | null, NodeJS.Signals | null];
  if (by !== signal) throw new Error(`cat ended with ${status ?? by}`);
  return performance.now() - began;
}
