/**
 * `put -r` of more files than one commit takes, killed when a part of them is in the bucket: the next run finishes it and sends nothing twice,
 * a third one sends nothing and makes no commit, and memory stays bounded.
 *   node scripts/drills/put-portions.ts [FILES, default 100000]
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import {
  check,
  checkout,
  differences,
  fingerprint,
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

/** What a drill reads of what `put` prints. */
interface Sent {
  readonly uploadedBlocks: number;
  readonly uploadedBytes: number;
}

const files = Number(process.argv[2] ?? 100_000);
const IN_DIRECTORY = 200;
// Longer than what the tree keeps in itself, so that each is a block of its own.
const FILE_BYTES = 1_200;
const MOST_MIB = 400;
const PATIENCE_MS = 600_000;
const space = workspace("put-portions");
const bucket = join(space.path, "bucket");
const url = `file://${bucket}`;
const source = join(space.path, "source");
mkdirSync(source);
for (let index = 0; index < files; index++) {
  const directory = join(source, `d${Math.floor(index / IN_DIRECTORY)}`);
  if (index % IN_DIRECTORY === 0) mkdirSync(directory);
  writeFileSync(join(directory, `file ${index}.txt`), `${index} `.repeat(FILE_BYTES).slice(0, FILE_BYTES));
}
syncline(space, ["init", url]);
const rootNow = () => readFileSync(join(bucket, "root"), "latin1");
const begun = rootNow();

const first = await put("the first run, which is killed", async (pid) => {
  await until(() => rootNow() !== begun, PATIENCE_MS, "the first portion in the bucket", 5);
  kill(pid);
});
check(first === undefined, "the first run is killed when a portion is in the bucket");
const had = filesInBucket();
check(had > 0 && had < files, `${had} of ${files} files are in the bucket then`);
const second = await put("the second run");
check(filesInBucket() === files, "the second run finishes it");
const sent = second?.uploadedBlocks ?? Number.NaN;
check(sent < (files - had) * 1.2, `it sends ${sent} blocks for the ${files - had} files that were left`);
const after = rootNow();
const third = await put("a third run");
check(rootNow() === after && third?.uploadedBytes === 0, "a third run sends nothing and makes no commit");
const got = join(space.path, "got");
syncline(space, ["get", "-r", url, got]);
check(differences(fingerprint(source), fingerprint(got)).length === 0, "what comes out is what went in");
syncline(space, ["verify", url]);
report("ok    verify finds nothing");

async function put(what: string, meanwhile: (pid: number) => Promise<void> = async () => {}) {
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [join(checkout, "dist/main.js"), "put", "-r", `${source}/.`, `${url}/`, "--json"],
    { env: space.env, stdio: ["ignore", "pipe", "inherit"] },
  );
  const pid = pidOf(child);
  space.pids.add(pid);
  let [out, most] = ["", 0];
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  const ended = new Promise((done) => child.once("close", done));
  const watch = setInterval(() => (most = Math.max(most, rssMiB(pid) || 0)), 50);
  await meanwhile(pid);
  await ended;
  clearInterval(watch);
  space.pids.delete(pid);
  report(`${what}: ${((performance.now() - began) / 1000).toFixed(1)} s, at most ${Math.round(most)} MiB`);
  check(most < MOST_MIB, `${what} stays below ${MOST_MIB} MiB`);
  return out === "" ? undefined : (JSON.parse(out) as Sent);
}

function filesInBucket() {
  const [newest] = syncline(space, ["log", url, "--json", "-n", "1"])
    .stdout.trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { totals: { files: number } });
  return Number(newest?.totals.files);
}
