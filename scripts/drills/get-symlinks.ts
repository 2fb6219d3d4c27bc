/**
 * While `get -r` copies, directories in its target are swapped for links that lead out of it, and back, again and again: nothing outside the
 * target is written, and a copy that nothing disturbs afterwards is whole. As root, set-user-id bits of the bucket are not given either.
 *   node scripts/drills/get-symlinks.ts [COPIES, default 10]
 */
import { chmodSync, lstatSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { check, join, mkdirSync, report, start, syncline, workspace } from "./lib.ts";

const copies = Number(process.argv[2] ?? 10);
const FOLDERS = 8;
const FILES = 100;
const space = workspace("get-symlinks");
const url = `file://${join(space.path, "bucket")}`;
const [source, outside] = [join(space.path, "source"), join(space.path, "outside")];
for (let folder = 0; folder < FOLDERS; folder++) {
  for (const root of [source, outside]) mkdirSync(join(root, `d${folder}`), { recursive: true });
  for (let each = 0; each < FILES; each++) writeFileSync(join(source, `d${folder}`, `f${each}`), `file ${each}`);
}
chmodSync(join(source, "d0", "f0"), 0o4755);
syncline(space, ["init", url]);
syncline(space, ["put", "-r", `${source}/.`, `${url}/tree`]);

// In a thread of its own, as fast as it goes.
const code = `
  const { workerData } = require("node:worker_threads");
  const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
  const { tree, outside, folders, flag } = workerData;
  const over = new Int32Array(flag);
  let swaps = 0;
  while (Atomics.load(over, 0) === 0) {
    for (let folder = 0; folder < folders; folder++) {
      const path = tree + "/d" + folder;
      try {
        renameSync(path, path + ".aside");
        symlinkSync(outside + "/d" + folder, path);
        swaps++;
        for (const until = performance.now() + (swaps % 3); performance.now() < until; );
        unlinkSync(path);
        renameSync(path + ".aside", path);
      } catch {
        // Not there yet.
      }
    }
  }
  Atomics.add(over, 1, swaps);`;
let swaps = 0;
const ends = { whole: 0, refused: 0 };
for (let copy = 0; copy < copies; copy++) {
  const target = join(space.path, `copy-${copy}`);
  const flag = new SharedArrayBuffer(8);
  const swapper = new Worker(code, { eval: true, workerData: { tree: target, outside, folders: FOLDERS, flag } });
  const ended = new Promise((done) => swapper.once("exit", done));
  const { status, stderr } = await start(space, ["get", "-r", `${url}/tree`, target]);
  const view = new Int32Array(flag);
  Atomics.store(view, 0, 1);
  await ended;
  swaps += Atomics.load(view, 1);
  check(
    status === 0 || status === 4,
    `the copy ends with 0, or with 4 and a reason (${status} ${stderr.split("\n")[0]})`,
  );
  ends[status === 0 ? "whole" : "refused"]++;
}
const landed = Array.from({ length: FOLDERS }, (_, folder) => readdirSync(join(outside, `d${folder}`))).flat();
report(
  `${swaps} swaps during ${copies} copies of ${FOLDERS * FILES} files: ${ends.whole} ended with 0, ${ends.refused} with 4`,
);
check(landed.length === 0, `nothing outside was written (${landed.length} files)`);
const still = join(space.path, "still");
syncline(space, ["get", "-r", `${url}/tree`, still]);
const got = readdirSync(still, { recursive: true, encoding: "utf8" }).filter((name) =>
  lstatSync(join(still, name)).isFile(),
);
check(got.length === FOLDERS * FILES, "a copy that nothing disturbs is whole");
check((statSync(join(still, "d0", "f0")).mode & 0o7777) === 0o755, "a set-user-id bit of the bucket is not given");
