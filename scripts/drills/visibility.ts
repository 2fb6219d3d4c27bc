/**
 * How long from fsync on A to readable on B, and from a name that moves or goes on A to that on B: 50 small files each, p50 and p99.
 *   node scripts/drills/visibility.ts [ROUNDS] [--master | --masters | --s3 | --s3=numbered] [--untimed]      --untimed: on a busy machine, without the goal of a second
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { agent, check, join, percentile, report, storage, syncline, until, workspace } from "./lib.ts";

const space = workspace("visibility");
const { url, rest } = await storage(space);
const isTimed = !rest.includes("--untimed");
const [rounds = 50] = rest.filter((arg) => !arg.startsWith("--")).map(Number);
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const b = agent(space, "b", url);
const times: number[] = [];
for (let round = 0; round < rounds; round++) {
  const text = `round ${round}\n`;
  const file = openSync(join(a.dir, `file-${round}.txt`), "w");
  writeSync(file, text);
  fsyncSync(file);
  const synced = performance.now();
  closeSync(file);
  await until(() => read(join(b.dir, `file-${round}.txt`)) === text, 10_000, `file ${round} on B`, 1);
  times.push(performance.now() - synced);
}
const rewritten: number[] = [];
for (let round = 0; round < rounds; round++) {
  const text = `again ${round}\n`;
  const file = openSync(join(a.dir, "file-0.txt"), "w");
  writeSync(file, text);
  fsyncSync(file);
  const synced = performance.now();
  closeSync(file);
  await until(() => read(join(b.dir, "file-0.txt")) === text, 10_000, `rewrite ${round} on B`, 1);
  rewritten.push(performance.now() - synced);
}
const [moved, removed]: [number[], number[]] = [[], []];
for (let round = 0; round < rounds; round++) {
  const [from, to] = [`file-${round}.txt`, `moved-${round}.txt`];
  const began = performance.now();
  renameSync(join(a.dir, from), join(a.dir, to));
  await until(() => read(join(b.dir, to)) !== undefined, 10_000, `move ${round} on B`, 1);
  moved.push(performance.now() - began);
  const gone = performance.now();
  unlinkSync(join(a.dir, to));
  await until(() => read(join(b.dir, to)) === undefined, 10_000, `removal ${round} on B`, 1);
  removed.push(performance.now() - gone);
}
print("new file", times);
print("rewritten file", rewritten);
print("moved file", moved);
print("removed file", removed);
a.unmount();
b.unmount();

function print(what: string, values: readonly number[]) {
  const p50 = percentile(values, 0.5);
  const p99 = percentile(values, 0.99);
  report(
    `${what}: p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, max ${Math.max(...values).toFixed(0)} ms (${values.length} rounds)`,
  );
  if (isTimed) check(p99 <= 1_000, `${what}: p99 within a second`);
}

function read(path: string) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
