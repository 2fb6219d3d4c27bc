/**
 * Every workload on every target (targets.mjs), alternating, medians: once as the scheduler likes it, once with client and server on one
 * processor, which changes metadata rates fourfold. Ratios are of one run.
 *   node scripts/benches/main.mjs [--runs N] [--disk] [--s3 | --beside CHECKOUT] [--count N] [NAME]
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { join, percentile, report, run, workspace } from "../drills/lib.ts";
import { grounds } from "./grounds.mjs";
import { folderTargets, s3Targets, turnTargets } from "./targets.mjs";
import { workloadsOf } from "./workloads.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "5" },
    count: { type: "string", default: "4000" },
    disk: { type: "boolean", default: false },
    s3: { type: "boolean", default: false },
    beside: { type: "string" },
  },
});
const runs = Number(options.runs);
const [wanted = ""] = positionals;
/** The peer that the column "beside" compares with. */
const BASELINE = options.beside === undefined ? "passthrough" : "other";
/** From here on a peer's figure is a question: on which ground is it faster? */
const SUSPICIOUS = 2;

const space = workspace("bench");
const ground = grounds(space, options.disk);
const targets = await chosenTargets();
// On S3 the server would be the third on one CPU.
const placements = canPin() && !options.s3 ? ["free", "one CPU"] : ["free"];
report(
  `${cpus().length} × ${cpus()[0]?.model}, Linux ${run("uname", ["-r"]).trim()}, Node ${process.version}, ${ground.about}, ${runs} runs, medians`,
);
report(`targets: ${targets.map(({ name, about }) => `${name} (${about})`).join(", ")}`);

const rows = [];
for (const workload of workloadsOf(Number(options.count))) {
  if (!workload.name.includes(wanted)) continue;
  for (const placement of placements) await row(workload, placement);
}
report("");
const columns = ["workload", "client and server", "unit", ...targets.map(({ name }) => name), "ratio"];
if (targets.some(({ name }) => name === BASELINE)) columns.push("beside");
report(`| ${columns.join(" | ")} |`);
report(`|${columns.map(() => " --- |").join("")}`);
for (const row of rows) report(`| ${columns.map((column) => row[column] ?? "").join(" | ")} |`);
for (const { workload, slow } of rows.filter(({ slow }) => slow.length > 0)) {
  report(
    `${workload}: ${slow.join(" and ")} took over ${SUSPICIOUS} times as long as we. Explain it before you quote the row.`,
  );
}
for (const target of targets) await target.stop();
// Drills' servers would keep this process alive.
process.exit(0);

async function row(workload, placement) {
  const values = new Map(targets.map(({ name }) => [name, []]));
  for (let round = 0; round < runs; round++) {
    // What runs right after another target finds the caches that this one left.
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const dir = join(target.dir, `${workload.id}-${placement === "free" ? "" : "pinned-"}${round}`);
      mkdirSync(dir);
      place(placement, target);
      values.get(target.name).push(await measured(workload, dir, target));
      place("free", target);
      rmSync(dir, { recursive: true, force: true });
      await target.settle();
    }
  }
  const row = { workload: workload.name, "client and server": placement, unit: workload.unit };
  for (const [name, list] of values) row[name] = round3(percentile(list, 0.5));
  row.ratio = round3(faster(workload, row.syncline, row.local));
  row.spread = Object.fromEntries(
    [...values].map(([name, list]) => [name, [round3(Math.min(...list)), round3(Math.max(...list))]]),
  );
  if (row[BASELINE] !== undefined) row.beside = round3(faster(workload, row.syncline, row[BASELINE]));
  const peers = targets.filter(({ name }) => name !== "syncline" && name !== "local");
  row.slow = peers.map(({ name }) => name).filter((name) => faster(workload, row.syncline, row[name]) > SUSPICIOUS);
  rows.push(row);
  report(JSON.stringify(row));
}

function chosenTargets() {
  if (options.s3) return s3Targets(space, ground);
  return options.beside === undefined ? folderTargets(space, ground) : turnTargets(space, ground, options.beside);
}

/** This process, what it starts, and the target's server: all on processor 0, or anywhere. */
function place(placement, target) {
  if (!canPin()) return;
  const list = placement === "free" ? `0-${cpus().length - 1}` : "0";
  for (const pid of [process.pid, target.pid]) {
    if (pid !== undefined) run("taskset", ["-acp", list, String(pid)]);
  }
}

function canPin() {
  return cpus().length > 1 && spawnSync("taskset", ["--version"]).status === 0;
}

/** A peer that cannot do a workload has no figure for it; that we can is not optional. */
async function measured(workload, dir, target) {
  try {
    return await workload.run(dir, target);
  } catch (error) {
    if (target.name === "syncline" || target.name === "local") throw error;
    report(`${workload.name}: ${target.name} failed: ${error.message.split("\n")[0].slice(0, 120)}`);
    return Number.NaN;
  }
}

/** How many times as fast `value` is as `other`. */
function faster(workload, value, other) {
  return workload.unit.endsWith("/s") ? value / other : other / value;
}

function round3(value) {
  return Number(value.toPrecision(3));
}
