/**
 * What a call costs the thread of a mount that serves the filesystem: each workload on a tmpfs, with client and mount on one
 * processor, under perf. Prints microseconds of that thread's processor time a call, and what it spent them in. With both on one
 * processor the thread never spins, so all of its time is work.
 *   node scripts/benches/profile.mjs [--count N] [NAME]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { agent, join, report, run, syncline, workspace } from "../drills/lib.ts";
import { grounds } from "./grounds.mjs";
import { workloadsOf } from "./workloads.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string", default: "4000" } },
});
const [wanted = ""] = positionals;
const count = Number(options.count);
const space = workspace("bench-profile");
const ground = grounds(space, false);

const columns = ["workload", "µs a call", "kernel", "JavaScript", "Node.js and V8", "addon, C library"];
report(`| ${columns.join(" | ")} |`);
report(`|${columns.map(() => " --- |").join("")}`);
for (const workload of workloadsOf(count)) {
  if (!/^(files|calls|entries)\/s$/.test(workload.unit) || !workload.name.includes(wanted)) continue;
  const { perCall, shares } = await profiled(workload);
  const cells = [shares.kernel, shares.scripts, shares.node, shares.native].map(
    (share) => `${Math.round(share * 100)} %`,
  );
  report(`| ${workload.name} | ${perCall.toFixed(1)} | ${cells.join(" | ")} |`);
}
// A drill's servers would keep this process alive.
process.exit(0);

async function profiled(workload) {
  const folder = ground.folder(workload.id);
  const url = `file://${join(folder, "bucket")}`;
  syncline(space, ["init", url]);
  const mounted = agent(space, workload.id, url, { state: join(folder, "state") });
  for (const pid of [process.pid, mounted.pid]) run("taskset", ["-acp", "0", String(pid)]);
  const thread = servingThread(mounted.pid);
  const samples = join(folder, "samples");
  let [perf, began, spent] = [undefined, 0, 0];
  const dirs = ["first", "second"].map((name) => join(mounted.dir, name));
  for (const dir of dirs) mkdirSync(dir);
  const settle = async () => void mounted.flush();
  // A first run compiles the code.
  await workload.run(dirs[0], { settle });
  await settle();
  await workload.run(dirs[1], {
    settle,
    begins() {
      perf = spawn("perf", ["record", "-q", "-e", "cpu-clock", "-F", "4000", "-t", thread.id, "-o", samples], {
        stdio: "ignore",
      });
      began = thread.ranNs();
    },
    ended: () => (spent = thread.ranNs() - began),
  });
  const ended = once(perf, "exit");
  perf.kill("SIGINT");
  await ended;
  mounted.unmount();
  return { perCall: spent / 1_000 / count, shares: sharesOf(samples) };
}

function servingThread(pid) {
  const tasks = `/proc/${pid}/task`;
  const id = readdirSync(tasks).find((task) => readFileSync(join(tasks, task, "comm"), "utf8") === "filesystem\n");
  return { id, ranNs: () => Number(readFileSync(join(tasks, id, "schedstat"), "utf8").split(" ")[0]) };
}

/** Counts samples by where they lie. A sample in finish_task_switch is due to time in which another thread ran. */
function sharesOf(samples) {
  const lines = run("perf", ["script", "-i", samples, "-F", "ip,sym,dso"]).split("\n");
  const shares = { kernel: 0, scripts: 0, node: 0, native: 0 };
  let all = 0;
  for (const line of lines) {
    if (line.trim() === "" || line.includes("finish_task_switch")) continue;
    shares[kindOf(line)]++;
    all++;
  }
  if (all === 0) throw new Error("no samples: perf saw too little. Give a greater --count.");
  for (const kind of Object.keys(shares)) shares[kind] /= all;
  return shares;
}

function kindOf(line) {
  if (line.includes("[kernel.kallsyms]")) return "kernel";
  if (line.endsWith("/node)")) return "node";
  return /\.so|\.node\)|\[vdso\]/.test(line) ? "native" : "scripts";
}
