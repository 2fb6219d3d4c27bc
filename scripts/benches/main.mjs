/**
 * Every workload on every target, alternating, medians. Targets: the local disk, a mount of ours on a `file://` bucket on that
 * disk, and rclone's mount of a folder when rclone is installed. Ratios are against the local disk in the same run.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { agent, alive, join, kill, percentile, report, run, syncline, workspace } from "../drills/lib.mjs";
import { workloads } from "./workloads.mjs";

const args = process.argv.slice(2);
const runsAt = args.indexOf("--runs");
const runs = runsAt >= 0 ? Number(args.splice(runsAt, 2)[1]) : 5;
const wanted = args[0] ?? "";

const space = workspace("bench");
const targets = [localDisk(), ours(), rclone()].filter((target) => target !== undefined);
report(
  `${cpus().length} × ${cpus()[0]?.model}, Linux ${run("uname", ["-r"]).trim()}, Node ${process.version}, ${runs} runs, medians`,
);
report(`targets: ${targets.map(({ name, about }) => `${name} (${about})`).join(", ")}`);

const rows = [];
for (const workload of workloads) {
  if (!workload.name.includes(wanted)) continue;
  const values = new Map(targets.map(({ name }) => [name, []]));
  for (let round = 0; round < runs; round++) {
    for (const target of targets) {
      const dir = join(target.dir, `${workload.id}-${round}`);
      mkdirSync(dir);
      values.get(target.name).push(await measured(workload, dir, target));
      rmSync(dir, { recursive: true, force: true });
      await target.settle();
    }
  }
  const row = { workload: workload.name, unit: workload.unit };
  for (const [name, list] of values) row[name] = round3(percentile(list, 0.5));
  row.ratio = round3(workload.unit.endsWith("/s") ? row.syncline / row.local : row.local / row.syncline);
  row.spread = Object.fromEntries(
    [...values].map(([name, list]) => [name, [round3(Math.min(...list)), round3(Math.max(...list))]]),
  );
  row.agentCpu = targets.find(({ name }) => name === "syncline")?.cpu();
  rows.push(row);
  report(JSON.stringify(row));
}
report("");
const columns = ["workload", "unit", ...targets.map(({ name }) => name), "ratio"];
report(`| ${columns.join(" | ")} |`);
report(`|${columns.map(() => " --- |").join("")}`);
for (const row of rows) report(`| ${columns.map((column) => row[column] ?? "").join(" | ")} |`);
for (const target of targets) target.stop();

/** A peer that cannot do a workload has no figure for it; that we can is not optional. */
async function measured(workload, dir, target) {
  try {
    return await workload.run(dir, target);
  } catch (error) {
    if (target.name !== "rclone") throw error;
    report(`${workload.name}: ${target.name} failed: ${error.message.split("\n")[0].slice(0, 120)}`);
    return Number.NaN;
  }
}

function localDisk() {
  const dir = join(space.path, "local");
  mkdirSync(dir);
  return { name: "local", about: "the disk below", dir, settle: async () => {}, stop: () => {}, cpu: () => undefined };
}

function ours() {
  const url = `file://${join(space.path, "bucket")}`;
  syncline(space, ["init", url]);
  const mounted = agent(space, "mount", url);
  return {
    name: "syncline",
    about: "a file:// bucket, FUSE",
    dir: mounted.dir,
    pid: mounted.pid,
    // Publishing belongs to the workload before, not to the next one.
    settle: async () => void mounted.flush(),
    stop: () => mounted.unmount(),
    cpu: () => lastCpu(mounted.pid),
  };
}

function rclone() {
  if (spawnSync("rclone", ["version"]).status !== 0) return undefined;
  const dir = join(space.path, "rclone");
  const store = join(space.path, "rclone-store");
  mkdirSync(dir);
  mkdirSync(store);
  const child = spawn(
    "rclone",
    ["mount", store, dir, "--vfs-cache-mode", "full", "--cache-dir", join(space.path, "rclone-cache")],
    { stdio: "ignore" },
  );
  space.pids.add(child.pid);
  space.mounts.add(dir);
  const mounted = () => readFileSync("/proc/mounts", "utf8").includes(` ${dir} `);
  const waited = spawnSync("sh", [
    "-c",
    `for i in $(seq 100); do grep -q ' ${dir} ' /proc/mounts && exit 0; sleep 0.1; done; exit 1`,
  ]);
  if (waited.status !== 0 || !mounted()) {
    kill(child.pid);
    return undefined;
  }
  const stop = () => {
    spawnSync("umount", ["-l", dir]);
    if (alive(child.pid)) kill(child.pid, "SIGTERM");
  };
  return {
    name: "rclone",
    about: "mount of a folder, vfs-cache-mode full",
    dir,
    settle: async () => {},
    stop,
    cpu: () => undefined,
  };
}

/** The processor that the agent last ran on: field 39 of /proc/PID/stat (proc(5)). */
function lastCpu(pid) {
  return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[36]);
}

function round3(value) {
  return Number(value.toPrecision(3));
}
