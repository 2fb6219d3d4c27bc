/**
 * A directory in a synced folder is swapped for a link that leads out of it, and back, again and again, while passes send and receive
 * files in it: nothing outside the folder is read or written.
 *   node scripts/drills/sync-symlinks.ts [SWAPS, default 10000]
 */
import { type Dirent, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { check, join, mkdirSync, report, start, syncline, until, workspace } from "./lib.ts";

const swaps = Number(process.argv[2] ?? 10_000);
const space = workspace("sync-symlinks");
const url = `file://${join(space.path, "bucket")}`;
const [one, other, outside] = [join(space.path, "one"), join(space.path, "other"), join(space.path, "outside")];
for (const folder of [one, other, outside, join(one, "d")]) mkdirSync(folder);
for (let each = 0; each < 20; each++) writeFileSync(join(one, "d", `f${each}`), `inside ${each}`);
for (let each = 0; each < 20; each++) writeFileSync(join(outside, `f${each}`), `SECRET ${each}`);
syncline(space, ["init", url]);
for (const folder of [one, other]) syncline(space, ["sync", url, folder, "--once"]);
const before = census(outside);

// In a thread of its own, as fast as it goes: a directory for most of the time, so that passes get on.
const code = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
  const { one, outside, swaps } = workerData;
  for (let swap = 0; swap < swaps; swap++) {
    try {
      renameSync(one + "/d", one + "/aside");
      symlinkSync(outside, one + "/d");
      for (const until = performance.now() + (swap % 3); performance.now() < until; );
      unlinkSync(one + "/d");
      renameSync(one + "/aside", one + "/d");
    } catch {
      // A pass has moved one of them: put right below.
      try { unlinkSync(one + "/d"); } catch {}
      try { renameSync(one + "/aside", one + "/d"); } catch {}
    }
    for (const until = performance.now() + (swap % 5); performance.now() < until; );
  }
  parentPort.postMessage(swaps);`;
const swapper = new Worker(code, { eval: true, workerData: { one, outside, swaps } });
const ended = new Promise<number>((done) => swapper.once("message", done));
const swapping = { over: false };
ended.then(() => (swapping.over = true));
let passes = 0;
for (; !swapping.over || passes < 3; passes++) {
  // The link may have come across as what it is, a link: this drill itself must not write through it.
  const there = lstatSync(join(other, "d"), { throwIfNoEntry: false });
  if (there?.isDirectory() !== true) {
    rmSync(join(other, "d"), { force: true });
    mkdirSync(join(other, "d"));
  }
  for (let each = 0; each < 20; each++)
    writeFileSync(join(other, "d", `f${each}`), `from the other side ${passes} ${each}`);
  await start(space, ["sync", url, other, "--once"]);
  await start(space, ["sync", url, one, "--once"]);
}
report(`${await ended} swaps, ${passes} passes of each folder`);
check(
  JSON.stringify(census(outside)) === JSON.stringify(before),
  "nothing outside was written: names, contents and times are as they were",
);
await until(
  () => {
    for (const folder of [one, other]) syncline(space, ["sync", url, folder, "--once"], { expect: [0, 3] });
    return JSON.stringify(contents(join(one, "d"))) === JSON.stringify(contents(join(other, "d")));
  },
  60_000,
  "both folders to be the same",
);
syncline(space, ["get", "-r", url, join(space.path, "got")]);
const all = JSON.stringify([contents(join(space.path, "got")), contents(one), contents(other)]);
check(!all.includes("SECRET"), "nothing outside was read: no byte of it is in the bucket or in a folder");

function census(folder: string) {
  return readdirSync(folder).map((name) => {
    const { mode, mtimeMs, ctimeMs, size, nlink } = statSync(join(folder, name));
    return [name, mode, mtimeMs, ctimeMs, size, nlink, readFileSync(join(folder, name), "utf8")];
  });
}

function contents(folder: string) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const own = (entry: Dirent) => entry.parentPath.includes(".syncline/") || entry.parentPath.endsWith(".syncline");
  return files
    .filter((entry) => !own(entry))
    .map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name), "utf8")])
    .sort();
}
