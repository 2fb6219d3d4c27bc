/**
 * Power cuts of a machine with a synced folder: the folder and its state lie on one disk (cut-disk.ts); the bucket and another
 * folder do not. People edit both folders, both sync, and right then the power is cut. Then the folder syncs again, and must be as
 * it was: no version may be damaged, deleted or resurrected.
 *   node scripts/drills/sync-power-cut.ts [TIMES, default 20] [SEED]
 */
import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { SyncReport } from "../../src/sync/report.ts";
import { CutDisk } from "./cut-disk.ts";
import { check, differences, fingerprint, join, mkdirSync, randomOf, report, syncline, workspace } from "./lib.ts";

const ACTIONS = 12;
const times = Number(process.argv[2] ?? 20);
const seed = Number(process.argv[3] ?? Date.now());
const next = randomOf(seed);
const random = (below: number) => Math.floor(next() * below);
const space = workspace("sync-power-cut");
const other = join(space.path, "other");
mkdirSync(other);
const disk = new CutDisk(space, join(space.path, "disk"), "512M");

const url = `file://${join(space.path, "bucket")}`;
const folder = join(disk.path, "folder");
mkdirSync(folder);
syncline(space, ["init", url]);
report(`seed ${seed}`);
const ends = { same: 0, sent: 0 };
for (let pass = 0; pass < times; pass++) {
  for (const each of [folder, other]) for (let action = 0; action < ACTIONS; action++) edit(each, `${pass}-${action}`);
  sync(other, join(space.path, "state"));
  sync(folder, join(disk.path, "state"));
  const was = shown();
  disk.mark();
  disk.cut();
  const sent = sync(folder, join(disk.path, "state"));
  const wrong = differences(was, shown());
  if (wrong.length === 0) ends.same++;
  for (const { path, a, b } of wrong.slice(0, 5)) report(`pass ${pass}: ${path} was ${a}, is ${b}`);
  ends.sent += sent;
  sync(other, join(space.path, "state"));
}
check(ends.same === times, `${ends.same} of ${times} power cuts changed nothing`);
check(ends.sent === 0, `${ends.sent} changes were published that nobody made`);

/** What a person or program does in a folder. */
function edit(root: string, name: string) {
  const files = readdirSync(root).filter((each) => each !== ".syncline");
  const one = join(root, files[random(Math.max(files.length, 1))] ?? name);
  const fresh = join(root, `f${name}${root === folder ? "" : " of the other"}`);
  const text = `${name} `.repeat(1 + random(20_000));
  const what = files.length < 10 ? 0 : random(6);
  if (what <= 1) writeFileSync(fresh, text);
  else if (what === 2) {
    writeFileSync(`${one}~`, text);
    renameSync(`${one}~`, one);
  } else if (what === 3) rmSync(one);
  else if (what === 4) renameSync(one, fresh);
  else symlinkSync(name, fresh);
}

/** How many changes of the folder it published. */
function sync(root: string, state: string) {
  const { stdout } = syncline(space, ["sync", url, root, "--once", "--state", state, "--json"]);
  const { sent } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as SyncReport;
  return sent.added + sent.changed + sent.moved + sent.deleted;
}

function shown() {
  return fingerprint(folder, { skip: (path) => path === ".syncline" || path.startsWith(".syncline/") });
}
