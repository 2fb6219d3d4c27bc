/**
 * A first sync of more files than go at once, killed on both sides: where they go up when a part of them is in the bucket, and where they come
 * down when a part of them is there. What had gone is not sent again, both folders are the same in the end, and memory does not grow with the number of files.
 *   node scripts/drills/sync-portions.ts [FILES, default 100000]
 */
import { spawn } from "node:child_process";
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { SyncReport } from "../../src/sync/report.ts";
import {
  check,
  checkout,
  fingerprint,
  differences,
  join,
  kill,
  mkdirSync,
  pidOf,
  report,
  rssMiB,
  syncline,
  until,
  workspace,
} from "./lib.ts";

const files = Number(process.argv[2] ?? 100_000);
const IN_DIRECTORY = 200;
const directories = Math.ceil(files / IN_DIRECTORY);
const PATIENCE_MS = 600_000;
const space = workspace("sync-portions");
const bucket = join(space.path, "bucket");
const url = `file://${bucket}`;
const [one, other] = [join(space.path, "one"), join(space.path, "other")];
for (const folder of [one, other]) mkdirSync(folder);
for (let index = 0; index < files; index++) {
  const directory = join(one, `d${Math.floor(index / IN_DIRECTORY)}`);
  if (index % IN_DIRECTORY === 0) mkdirSync(directory);
  writeFileSync(join(directory, `file ${index}.txt`), `content of ${index}\n`);
}
syncline(space, ["init", url]);
const rootNow = () => readFileSync(join(bucket, "root"), "latin1");
const begun = rootNow();

await killedWhen(one, () => rootNow() !== begun, "the first portion in the bucket");
const there = await syncedOnce(other, "what had gone up comes down", async (pid) => {
  await until(() => countIn(other) > 1_000, PATIENCE_MS, "some files there", 5);
  kill(pid);
});
check(
  there === undefined && countIn(other) < files,
  `${countIn(other)} of ${files} files are in the other folder when it is killed, too`,
);
const half = reported(await syncedOnce(other, "the next run there"));
const gone = countIn(other);
check(half.sent.added + half.sent.changed + half.sent.deleted === 0, "it sends nothing");
check(gone > 0 && gone < files, `${gone} of ${files} files had gone`);
const edited = readdirSync(other).find((name) => name.startsWith("d")) ?? "";
const [file = ""] = readdirSync(join(other, edited));
appendFileSync(join(other, edited, file), "edited there\n");
writeFileSync(join(other, "made there"), "made there\n");
await syncedOnce(other, "what was edited there meanwhile goes up");
const rest = reported(await syncedOnce(one, "the rest"));
check(rest.sent.added <= files + directories - gone, `it sends ${rest.sent.added} new things, none of what had gone`);
check(rest.received.files === 2, "and gets what was edited there");
await syncedOnce(other, "all of it");
const skip = (name: string) => name.startsWith(".syncline");
const [first, second] = [fingerprint(one, { skip }), fingerprint(other, { skip })];
const differing = differences(first, second);
check(
  differing.length === 0,
  `${first.size} things are the same in both folders: ${
    differing
      .map(({ path }) => path)
      .slice(0, 3)
      .join(", ") || "no difference"
  }`,
);
check(readFileSync(join(one, edited, file), "utf8").endsWith("edited there\n"), "what was edited is in both");
const again = reported(await syncedOnce(one, "one pass more"));
check(
  Object.values({ ...again.sent, ...again.received }).every((count) => count === 0),
  "nothing is left to do",
);

/** The report of a run to the end; undefined where `during` killed it. */
async function syncedOnce(
  folder: string,
  what: string,
  during?: (pid: number) => Promise<void>,
): Promise<SyncReport | undefined> {
  const child = spawn(process.execPath, [join(checkout, "dist/main.js"), "sync", url, folder, "--once", "--json"], {
    env: space.env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pid = pidOf(child);
  space.pids.add(pid);
  let [told, most] = ["", 0];
  child.stdout.on("data", (data: Buffer) => (told += data.toString()));
  const ended = new Promise((done) => child.once("close", done));
  const sampling = setInterval(() => (most = Math.max(most, rssMiB(pid) || 0)), 50);
  const began = performance.now();
  await during?.(pid);
  await ended;
  clearInterval(sampling);
  space.pids.delete(pid);
  report(
    `${what}: ${((performance.now() - began) / 1000).toFixed(1)} s, ${Math.round(most)} MiB at most${during === undefined ? "" : ", killed"}`,
  );
  return told === "" ? undefined : (JSON.parse(told) as SyncReport);
}

function reported(report: SyncReport | undefined): SyncReport {
  if (report === undefined) throw new Error("a run told nothing");
  return report;
}

async function killedWhen(folder: string, condition: () => boolean, what: string) {
  await syncedOnce(folder, `up to ${what}`, async (pid) => {
    await until(condition, PATIENCE_MS, what, 5);
    kill(pid);
  });
}

function countIn(folder: string) {
  return readdirSync(folder)
    .filter((name) => name.startsWith("d"))
    .reduce((sum, name) => sum + readdirSync(join(folder, name)).length, 0);
}
