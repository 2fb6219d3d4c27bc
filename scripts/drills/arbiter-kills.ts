/**
 * PostgreSQL is killed -9 and started again, and its S3 server is stopped (SIGSTOP) and killed, in turn, while commands put through two
 * masters: commands ride it out, no acknowledged commit is missing, each is in history once, and verify is clean.
 *   node scripts/drills/arbiter-kills.ts [KILLS, default 3] [WRITERS, default 4]
 */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import {
  check,
  checkHistory,
  commitsOf,
  join,
  kill,
  pause,
  percentile,
  report,
  start,
  syncline,
  until,
  workspace,
} from "./lib.ts";
import { allOf, shared } from "./shared-masters.ts";

interface Put {
  readonly name: string;
  readonly root: string;
}

const [kills, writers] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 4)];
const BYTES = 100_000;
const DOWN_MS = 1_500;
/** Puts that must have been acknowledged between two disturbances. */
const BETWEEN = 2;
const space = workspace("arbiter-kills");
const { postgres, s3, master } = await shared(space);
const masters = [await master(), await master()];
/** The masters, beginning with another one for every other writer. */
const urls = [allOf(masters), allOf(masters.toReversed())];
const url = urls[0] ?? "";
syncline(space, ["init", url]);
const acknowledged: Put[] = [];
const took: number[] = [];
const failures = new Map<string, number>();
let failed = 0;
let longestGap = 0;
let lastAnswer = performance.now();
const disturbing = { isOver: false };

const writing = Array.from({ length: writers }, (_, writer) => write(writer));
const disturbances = ["arbiter killed", "store stopped", "arbiter killed", "store killed"] as const;
const done = new Map<string, number>();
for (let round = 0, killed = 0; killed < kills; round++) {
  const enough = acknowledged.length + BETWEEN;
  await until(() => acknowledged.length >= enough, 40_000, "puts to be acknowledged", 20);
  await pause((round * 397) % 900);
  const what = disturbances[round % disturbances.length] ?? "arbiter killed";
  if (what !== "store stopped") killed++;
  await disturb(what);
  done.set(what, (done.get(what) ?? 0) + 1);
}
const enough = acknowledged.length + writers;
await until(() => acknowledged.length >= enough, 120_000, "puts after the last kill", 20);
disturbing.isOver = true;
await Promise.all(writing);
report(`      ${[...done].map(([what, times]) => `${times} × ${what}`).join(", ")}; each time away for ${DOWN_MS} ms`);
report(
  `      ${acknowledged.length} puts acknowledged, ${failed} failed; a put: p50 ${percentile(took, 0.5).toFixed(0)} ms, longest stall ${(Math.max(...took) / 1000).toFixed(1)} s; longest time without an answer ${(longestGap / 1000).toFixed(1)} s`,
);
for (const [why, times] of failures) report(`      ${times} × ${why}`);

const log = commitsOf(space, url);
const history = new Set(log.map(({ root }) => root));
const lost = acknowledged.filter(({ root }) => !history.has(root));
check(lost.length === 0, `acknowledged but lost: ${lost.length} of ${acknowledged.length} commits`);
checkHistory(log);
const notes = log.map(({ note }) => note);
const twice = acknowledged.filter(({ name }) => notes.filter((note) => note.endsWith(`/${name}`)).length !== 1);
check(twice.length === 0, "each acknowledged put is in history exactly once");
for (const [which, one] of masters.entries()) {
  const there = join(space.path, `there-${which}`);
  syncline(space, ["get", "-r", one.url(), there]);
  for (const { name } of acknowledged) {
    if (!readFileSync(join(there, name)).equals(readFileSync(join(space.path, name))))
      check(false, `${name} has its bytes`);
  }
  check(
    syncline(space, ["verify", one.url(), "--json"]).status === 0,
    `every byte is there, and verify finds nothing: master ${which + 1}`,
  );
}

/** Puts one file after the other. One that fails is not repeated: its outcome is what the command said. */
async function write(writer: number) {
  for (let index = 0; !disturbing.isOver; index++) {
    const name = `put-${writer}-${index}.bin`;
    const source = join(space.path, name);
    writeFileSync(source, randomBytes(BYTES));
    const { status, stdout, stderr, ms } = await start(space, ["put", source, `${urls[writer % 2]}/${name}`, "--json"]);
    if (status === 0) {
      const { root } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { root: string };
      acknowledged.push({ name, root });
      took.push(ms);
      longestGap = Math.max(longestGap, performance.now() - lastAnswer);
      lastAnswer = performance.now();
      continue;
    }
    failed++;
    const why = codeOf(stderr);
    if (why === undefined || /corrupt|rolled_back|missing|internal/.test(why)) {
      report(stderr);
      check(false, `what a put says while a server is away is true, not ${why ?? `status ${status}`}`);
    }
    failures.set(why, (failures.get(why) ?? 0) + 1);
  }
}

function codeOf(stderr: string): string | undefined {
  return /"code":"(\w+)"/.exec(stderr)?.[1];
}

async function disturb(what: (typeof disturbances)[number]) {
  if (what === "arbiter killed") {
    const { pid } = postgres;
    kill(pid);
    await pause(DOWN_MS);
    // Until what the killed one left has ended, another one does not start.
    await until(() => startsAgain(), 60_000, "PostgreSQL to start", 100);
  } else if (what === "store killed") {
    await s3.stop("SIGKILL");
    await pause(DOWN_MS);
    await s3.start();
  } else {
    kill(s3.pid, "SIGSTOP");
    await pause(DOWN_MS);
    kill(s3.pid, "SIGCONT");
  }
}

function startsAgain(): boolean {
  try {
    postgres.start();
    return true;
  } catch {
    return false;
  }
}
