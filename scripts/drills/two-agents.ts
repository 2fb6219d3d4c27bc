/**
 * Two agents on one bucket: a real tree of 10,000 files, a clone of this repository and commits on A; B is identical.
 *   node scripts/drills/two-agents.ts [COPIES of node_modules, default as many as make 10,000 files] [COMMITS, default 200]
 *     [--master | --masters | --s3 | --s3=numbered]
 */
import { readdirSync, writeFileSync } from "node:fs";
import {
  agent,
  check,
  checkout,
  differences,
  fingerprint,
  join,
  report,
  run,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

const space = workspace("two-agents");
const { url, rest } = await storage(space);
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const b = agent(space, "b", url);

const perCopy = countFiles(join(checkout, "node_modules"));
const copies = Number(rest[0] ?? Math.ceil(10_000 / perCopy));
const commits = Number(rest[1] ?? 200);
let began = performance.now();
for (let copy = 0; copy < copies; copy++)
  run("cp", ["-a", join(checkout, "node_modules"), join(a.dir, `modules-${copy}`)]);
report(`cp -a of ${copies} × ${perCopy} files: ${seconds(began)}`);

began = performance.now();
const repo = join(a.dir, "repo");
run("git", ["clone", "-q", checkout, repo]);
report(`git clone: ${seconds(began)}`);
run("git", ["-C", repo, "fsck", "--full"]);
check(true, "git fsck on A");

began = performance.now();
for (let commit = 0; commit < commits; commit++) {
  writeFileSync(join(repo, "counter.txt"), `${commit}\n`);
  run("git", ["-C", repo, "add", "counter.txt"]);
  run("git", [
    "-C",
    repo,
    "-c",
    "user.name=drill",
    "-c",
    "user.email=drill@localhost",
    "commit",
    "-q",
    "-m",
    `count ${commit}`,
  ]);
}
report(`${commits} commits: ${seconds(began)}`);

began = performance.now();
const flushed = a.flush();
check(flushed.published, `flush on A published (${seconds(began)}, ${flushed.attempts} attempts)`);
await until(() => b.status().base === flushed.root, 60_000, "B to stand on A's root", 50);

began = performance.now();
const onA = fingerprint(a.dir);
report(`fingerprint of A: ${onA.size} paths in ${seconds(began)}`);
began = performance.now();
const onB = fingerprint(b.dir);
report(`fingerprint of B: ${onB.size} paths in ${seconds(began)}`);
const different = differences(onA, onB);
if (different.length > 0) report(JSON.stringify(different.slice(0, 5), null, 1));
check(different.length === 0, "names, types, modes, mtimes, sizes and SHA-256 are identical on A and B");
check(onA.size >= copies * perCopy, `${onA.size} paths`);
check(run("git", ["-C", join(b.dir, "repo"), "status", "--porcelain"]) === "", "git status on B is clean");
run("git", ["-C", join(b.dir, "repo"), "fsck", "--full"]);
check(true, "git fsck on B");
a.unmount();
b.unmount();
const verified = syncline(space, ["verify", url, "--json"]);
check(verified.status === 0, `verify finds nothing: ${verified.stdout.trim().split("\n").at(-1)}`);

function countFiles(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory()).length;
}

function seconds(began: number): string {
  return `${((performance.now() - began) / 1000).toFixed(2)} s`;
}
