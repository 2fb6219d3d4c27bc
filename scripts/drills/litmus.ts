/**
 * litmus, the suite by which WebDAV servers are judged, on `syncline webdav` over a bucket in a folder: all of its tests pass.
 *   node scripts/drills/litmus.ts [--beside: another agent writes the bucket meanwhile]
 * Needs Debian's package litmus.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { check, checkout, join, pidOf, report, syncline, workspace } from "./lib.ts";

const beside = process.argv.includes("--beside");
const space = workspace("litmus");
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);

const main = join(checkout, "dist/main.js");
const agent = spawn(process.execPath, [main, "webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--json"], {
  env: space.env,
  stdio: ["ignore", "pipe", "inherit"],
});
space.pids.add(pidOf(agent));
const [line] = await once(createInterface({ input: agent.stdout }), "line");
const { webdav } = JSON.parse(line) as { webdav: string };

let others = 0;
const over = new AbortController();
const writing = beside ? writeBeside() : Promise.resolve();

const work = join(space.path, "litmus");
mkdirSync(work);
const suite = spawn("litmus", ["-k", webdav], { cwd: work, stdio: ["ignore", "pipe", "inherit"] });
space.pids.add(pidOf(suite));
let output = "";
suite.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
await once(suite, "close");
space.pids.delete(pidOf(suite));
over.abort();
await writing;

const suites = [...output.matchAll(/summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed/g)];
for (const [, name = "", run, passed] of suites) report(`${name.padEnd(10)} ${passed} of ${run}`);
const sum = (index: number) => suites.reduce((total, found) => total + Number(found[index]), 0);
if (sum(4) > 0) report(output);
check(suites.length === 5, "all five suites ran");
check(sum(2) === 104 && sum(3) === 104, `104 of 104 tests passed: ${sum(3)} of ${sum(2)}`);
if (beside) check(others > 0, `another agent published meanwhile: ${others} times`);

agent.kill("SIGTERM");
const [status] = await once(agent, "exit");
space.pids.delete(pidOf(agent));
check(status === 0, "the agent published everything and ended in order");
check(spawnSync(process.execPath, [main, "verify", url], { env: space.env }).status === 0, "the bucket is sound");

async function writeBeside() {
  const file = join(space.path, "note");
  while (!over.signal.aborted) {
    writeFileSync(file, `${others}\n`);
    const put = spawn(process.execPath, [main, "put", file, `${url}/beside/note`], { env: space.env, stdio: "ignore" });
    const [code] = await once(put, "exit");
    if (code === 0) others++;
  }
}
