/**
 * Where the time of a call goes: each workload on a mount of ours on a tmpfs, as scheduled, with V8's profile of the thread that
 * serves the filesystem. Prints microseconds a call: of wall time, of that thread's busy time, and of what it was busy with.
 *   node scripts/benches/profile.mjs [--count N] [NAME]
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { agent, join, report, syncline, workspace } from "../drills/lib.ts";
import { grounds } from "./grounds.mjs";
import { workloadsOf } from "./workloads.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string", default: "20000" } },
});
const [wanted = ""] = positionals;
const count = Number(options.count);
const space = workspace("bench-profile");
const ground = grounds(space, false);

const columns = ["workload", "µs a call", "busy", "replies", "journal", "native code", "garbage", "JavaScript"];
report(`| ${columns.join(" | ")} |`);
report(`|${columns.map(() => " --- |").join("")}`);
for (const workload of workloadsOf(count)) {
  if (!workload.unit.endsWith("/s") || workload.unit === "MB/s" || !workload.name.includes(wanted)) continue;
  const { perCall, shares } = await profiled(workload);
  const busy = Object.values(shares).reduce((sum, share) => sum + share, 0);
  const cells = [perCall, busy, shares.replies, shares.journal, shares.native, shares.garbage, shares.scripts];
  report(`| ${workload.name} | ${cells.map((each) => each.toFixed(1)).join(" | ")} |`);
}
// A drill's servers would keep this process alive.
process.exit(0);

async function profiled(workload) {
  const folder = ground.folder(workload.id);
  const url = `file://${join(folder, "bucket")}`;
  syncline(space, ["init", url]);
  const profiles = join(folder, "profiles");
  space.env.NODE_OPTIONS = `--cpu-prof --cpu-prof-interval=100 --cpu-prof-dir=${profiles}`;
  const mounted = agent(space, workload.id, url, { state: join(folder, "state") });
  delete space.env.NODE_OPTIONS;
  const dir = join(mounted.dir, "work");
  mkdirSync(dir);
  const rate = await workload.run(dir, { settle: async () => void mounted.flush() });
  const ended = microseconds();
  mounted.unmount();
  const perCall = 1e6 / rate;
  return { perCall, shares: sharesOf(serving(profiles), ended - perCall * count, ended) };
}

/** The clock that V8 stamps samples with. */
function microseconds() {
  return Number(process.hrtime.bigint() / 1_000n);
}

function serving(folder) {
  const all = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
  return all.find(({ nodes }) => nodes.some(({ callFrame }) => callFrame.functionName === "onBatch"));
}

/** Microseconds a call between two times, by what the thread was doing. */
function sharesOf({ nodes, samples, timeDeltas, startTime }, from, to) {
  const kinds = new Map(nodes.map(({ id, callFrame }) => [id, kindOf(callFrame.functionName)]));
  const shares = { replies: 0, journal: 0, native: 0, garbage: 0, scripts: 0 };
  let at = startTime;
  for (const [index, sample] of samples.entries()) {
    at += timeDeltas[index];
    const kind = kinds.get(sample);
    if (at >= from && at < to && kind !== "idle") shares[kind] += (timeDeltas[index + 1] ?? 0) / count;
  }
  return shares;
}

/** A call into the addon or into Node.js counts for the function that makes it. */
function kindOf(name) {
  if (name === "(idle)") return "idle";
  if (name === "(garbage collector)") return "garbage";
  if (name === "(program)") return "native";
  if (name === "#send") return "replies";
  return name === "writeBuffer" ? "journal" : "scripts";
}
