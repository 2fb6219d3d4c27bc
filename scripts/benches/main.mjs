/** Every workload on every target (targets.mjs), alternating, medians. Ratios are against the local disk in the same run. */
import { mkdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join, percentile, report, run, workspace } from "../drills/lib.mjs";
import { targetsIn } from "./targets.mjs";
import { workloads } from "./workloads.mjs";

const args = process.argv.slice(2);
const runsAt = args.indexOf("--runs");
const runs = runsAt >= 0 ? Number(args.splice(runsAt, 2)[1]) : 5;
const wanted = args[0] ?? "";

const space = workspace("bench");
const targets = targetsIn(space);
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
  row.ratio = round3(faster(workload, row.syncline, row.local));
  row.spread = Object.fromEntries(
    [...values].map(([name, list]) => [name, [round3(Math.min(...list)), round3(Math.max(...list))]]),
  );
  row.agentCpu = targets.find(({ name }) => name === "syncline")?.cpu();
  if (row.passthrough !== undefined) row.beside = round3(faster(workload, row.syncline, row.passthrough));
  rows.push(row);
  report(JSON.stringify(row));
}
report("");
const columns = ["workload", "unit", ...targets.map(({ name }) => name), "ratio"];
if (targets.some(({ name }) => name === "passthrough")) columns.push("beside");
report(`| ${columns.join(" | ")} |`);
report(`|${columns.map(() => " --- |").join("")}`);
for (const row of rows) report(`| ${columns.map((column) => row[column] ?? "").join(" | ")} |`);
for (const target of targets) target.stop();

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
