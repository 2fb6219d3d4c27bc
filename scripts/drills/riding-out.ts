/**
 * A master or an S3 server is killed -9 and started again, over and over, while commands write: each of them rides it out. All end
 * with 0, all that they wrote is there, and each is in history exactly once.
 *   node scripts/drills/riding-out.ts [PUTS, default 28] [--s3]
 */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import {
  check,
  checkHistory,
  commitsOf,
  type Ended,
  join,
  master,
  pathIn,
  pause,
  report,
  s3Server,
  start,
  syncline,
  workspace,
} from "./lib.ts";

interface EndedCommand extends Ended {
  readonly args: readonly string[];
}

const isS3 = process.argv.includes("--s3");
const puts = Number(process.argv.slice(2).find((arg) => arg !== "--s3") ?? 28);
/** One in four is so long that its upload is cut off on the way. */
const [SHORT, LONG] = [50_000, 24 << 20];
const AT_ONCE = 4;
/** Long enough for some of the commands to get through, and too short for others; on a busy machine, in which a start takes long, longer. */
const [UP_MS, UP_PER_START, DOWN_MS] = [900, 2, 700];
const space = workspace("riding-out");
const server = isS3 ? await s3Server(space, join(space.path, "s3")) : await master(space);
const url = server.url();
syncline(space, ["init", url]);
syncline(space, ["put", import.meta.filename, pathIn(url, "first")]);
const [first] = commitsOf(space, url);
if (first === undefined) throw new Error("there is no commit");
const files = Array.from({ length: puts }, (_, index) => join(space.path, `put-${index}`));
for (const [index, file] of files.entries()) writeFileSync(file, randomBytes(index % 4 === 0 ? LONG : SHORT));

const killer = { kills: 0, isOver: false };
const killing = killAgainAndAgain();
const waiting = [
  ...files.map((file, index) => ["put", file, pathIn(url, `put-${index}`)]),
  ["restore", pathIn(url, "first"), "--at", first.root],
  ["policy", "set", url, "text+=*.tex"],
  ["gc", url],
  ...Array.from({ length: 3 }, (_, index) => ["init", server.url(`made-${index}`)]),
];
const ended: EndedCommand[] = [];
await Promise.all(Array.from({ length: AT_ONCE }, runNext));
killer.isOver = true;
await killing;

const failed = ended.filter(({ status }) => status !== 0);
for (const { args, status, stderr } of failed)
  report(`      ${args[0]}: ${status} ${stderr.trim().split("\n").at(-1)}`);
const rode = ended.filter(({ stderr }) => stderr.includes("Retrying")).length;
report(`      ${killer.kills} kills; ${rode} commands waited for the server`);
const isPut = ({ args }: EndedCommand) => args[0] === "put";
const succeeded = ended.filter((one) => isPut(one) && one.status === 0);
check(succeeded.length === puts, `${succeeded.length} of ${puts} puts succeed`);
check(failed.length === 0, "restore, policy set, gc and init succeed, too");
const log = commitsOf(space, url);
checkHistory(log);
const roots = new Set(log.map((commit) => commit.root));
check(
  succeeded.every(({ stdout }) => roots.has(rootTold(stdout))),
  "each root that a put was told is in history",
);
const notes = log.map(({ note }) => note);
const once = files.filter((file) => notes.filter((note) => note === `put ${file}`).length === 1);
check(once.length === puts, `${once.length} of ${puts} puts are in history exactly once`);
const there = join(space.path, "there");
syncline(space, ["get", "-r", url, there]);
check(
  files.every((file, index) => readFileSync(join(there, `put-${index}`)).equals(readFileSync(file))),
  "every byte is there",
);
check(syncline(space, ["verify", url]).status === 0, "verify finds nothing");

function rootTold(stdout: string) {
  return (JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { root: string }).root;
}

async function runNext() {
  for (let args = waiting.shift(); args !== undefined; args = waiting.shift())
    ended.push({ args, ...(await start(space, [...args, "--json"])) });
}

async function killAgainAndAgain() {
  for (let upMs = UP_MS; !killer.isOver;) {
    await pause(upMs);
    await server.stop("SIGKILL");
    killer.kills++;
    await pause(DOWN_MS);
    const beganMs = performance.now();
    await server.start();
    upMs = Math.max(UP_MS, UP_PER_START * (performance.now() - beganMs));
  }
}
