/**
 * A large folder in which nothing changed, and one in which one file did: what a round takes, beside Unison on two such folders. Prints a line
 * and a JSON line a row.
 *   node scripts/benches/scan.mjs [--runs 3] [--files 150000]
 *
 * Each is one process that starts, looks at everything and ends. Syncline goes through a bucket in a folder; Unison looks at two folders.
 */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { checkout, join, mkdirSync, percentile, report, syncline, workspace } from "../drills/lib.ts";

const args = process.argv.slice(2);
const option = (name, fallback) => Number(args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const [runs, files] = [option("--runs", 3), option("--files", 150_000)];
const DIRECTORIES = 500;
const space = workspace("bench-scan");
const [one, other, unison] = ["one", "other", "unison"].map((name) => join(space.path, name));
for (const folder of [one, other, unison]) mkdirSync(folder);
for (let index = 0; index < files; index++) {
  const directory = join(one, `d${index % DIRECTORIES}`);
  if (index < DIRECTORIES) mkdirSync(directory);
  writeFileSync(join(directory, `file ${index}.bin`), `${index}`);
}
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const peers = {
  syncline: [process.execPath, join(checkout, "dist/main.js"), "sync", url, one, "--once"],
  unison: ["unison", one, other, "-batch", "-auto", "-ignore", "Name .syncline", "-logfile", join(space.path, "log")],
};
const TIME = "/usr/bin/time";
const isThere = (command) => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;

if (!existsSync(TIME)) throw new Error(`${TIME} is missing: apt-get install time`);
for (const name of Object.keys(peers).filter((each) => each === "syncline" || isThere(each))) {
  run(peers[name]);
  const [idle, changed] = [[], []];
  for (let turn = 0; turn < runs; turn++) {
    idle.push(run(peers[name]));
    writeFileSync(join(one, "d1", "file 1.bin"), `changed ${name} ${turn}`);
    changed.push(run(peers[name]));
  }
  const middle = (rows, key) =>
    Number(
      percentile(
        rows.map((row) => row[key]),
        0.5,
      ).toFixed(2),
    );
  const row = {
    idleS: middle(idle, "s"),
    changedS: middle(changed, "s"),
    cpuS: middle(idle, "cpu"),
    peakMiB: middle(idle, "mib"),
  };
  report(
    `${name}: ${files} files, nothing changed ${row.idleS} s (CPU ${row.cpuS}), one changed ${row.changedS} s, ${row.peakMiB} MiB`,
  );
  report(JSON.stringify({ bench: "scan", name, files, runs, ...row }));
}

/** Seconds, of them CPU, and the peak of its memory. */
function run([command, ...words]) {
  const env = { ...space.env, UNISON: unison, HOME: space.path };
  const began = performance.now();
  const { status, stderr } = spawnSync(TIME, ["-f", "%U %S %M", command, ...words], { env, encoding: "utf8" });
  const s = (performance.now() - began) / 1000;
  const [user, system, kib] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`);
  return { s, cpu: user + system, mib: kib / 1024 };
}
