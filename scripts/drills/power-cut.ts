/**
 * Many power cuts: state and bucket lie on one disk (cut-disk.ts), and a program appends with fsync through the mount. After each
 * cut, an agent starts on what is left. Everything that an acknowledged fsync covered must be there, and verify must be clean.
 *   node scripts/drills/power-cut.ts [TIMES, default 50]
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { CutDisk } from "./cut-disk.ts";
import { agent, check, checkout, join, kill, pidOf, report, run, syncline, until, workspace } from "./lib.ts";

const FILES = 4;
const times = Number(process.argv[2] ?? 50);
const space = workspace("power-cut");
const disk = new CutDisk(space, join(space.path, "disk"), "1G");

// The clone is mounted at the same path as the original was, so that the bucket's address and the state stay the same.
const url = `file://${join(disk.path, "bucket")}`;
const mount = join(space.path, "mount");
const state = join(disk.path, "state");
let acknowledged = 0;
syncline(space, ["init", url]);
let a = agent(space, "a", url, { state, dir: mount });
for (let round = 0; round < times; round++) {
  const folder = `round-${round}`;
  mkdirSync(join(mount, folder));
  const appender = spawn(process.execPath, [
    join(checkout, "scripts/drills/appender.ts"),
    join(mount, folder),
    String(FILES),
  ]);
  space.pids.add(pidOf(appender));
  let told = "";
  appender.stdout.on("data", (data: Buffer) => (told += data.toString()));
  const wanted = 100 + ((round * 37) % 300);
  await until(() => told.split("\n").length > wanted, 60_000, "the appender to get going");
  const synced = syncedRecords(told);
  disk.mark();
  // The old world ends: agent, mount, disk. What it did after the clone does not count.
  kill(pidOf(appender));
  space.pids.delete(pidOf(appender));
  await a.kill9();
  run("umount", ["-l", mount]);
  disk.cut();
  a = agent(space, "a", url, { state, dir: mount });
  acknowledged += checkRecords(folder, synced, round);
  if (!a.flush().published) check(false, `round ${round}: flush published`);
  const verified = syncline(space, ["verify", url, "--json"], { expect: [0, 8] });
  if (verified.status !== 0) check(false, `round ${round}: verify is clean: ${verified.stdout}`);
}
report(`${times} power cuts, ${acknowledged} records fsynced before a cut`);
check(acknowledged > times, "every acknowledged fsync was there, verify clean after each");
a.unmount();

function syncedRecords(told: string): number[] {
  const synced = Array.from({ length: FILES }, () => -1);
  for (const line of told.split("\n").slice(0, -1)) {
    const [kind, index, number] = line.split(" ");
    if (kind === "s") synced[Number(index)] = Math.max(synced[Number(index)] ?? -1, Number(number));
  }
  return synced;
}

function checkRecords(folder: string, synced: readonly number[], round: number): number {
  for (const [index, last] of synced.entries()) {
    if (last < 0) continue;
    const records = readFileSync(join(mount, folder, `append-${index}.log`), "latin1").split("\n");
    for (let at = 0; at <= last; at++) {
      if (!records[at]?.startsWith(`${String(index).padStart(3, "0")}:${String(at).padStart(8, "0")}:`)) {
        check(false, `round ${round}: append-${index}.log lost record ${at} of ${last + 1} that were fsynced`);
      }
    }
  }
  return synced.reduce((sum, last) => sum + last + 1, 0);
}
