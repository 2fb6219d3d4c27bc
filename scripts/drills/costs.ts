/**
 * What edits cost: blocks read, blocks and bytes uploaded, requests, CPU of the agent. 1 byte changed in a file of 1 GiB; 1 byte
 * inserted into it; 1 file changed among 100,000; a directory of 100,000 renamed.
 *   node scripts/drills/costs.ts [MiB of the big file, default 1024] [FILES, default 100000]
 */
import { closeSync, copyFileSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createCipheriv } from "node:crypto";
import { agent, cpuMs, join, report, rssMiB, syncline, workspace } from "./lib.ts";

const mebibytes = Number(process.argv[2] ?? 1024);
const files = Number(process.argv[3] ?? 100_000);
const space = workspace("costs");
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const a = agent(space, "a", url);

const big = join(a.dir, "big.bin");
measure(`write a file of ${mebibytes} MiB`, () => writeNoise(big, mebibytes));
measure("change 1 byte in it", () => {
  const file = openSync(big, "r+");
  writeSync(file, "!", mebibytes * 2 ** 19);
  closeSync(file);
});
measure("insert 1 byte in the middle of it (written whole again)", () => writeNoise(big, mebibytes, true));
measure("remove it again (copied over the file)", () => {
  const source = join(space.path, "source.bin");
  writeNoise(source, mebibytes);
  copyFileSync(source, big);
  rmSync(source);
});

const many = join(a.dir, "many");
measure(`create ${files} files of 100 bytes`, () => {
  mkdirSync(many);
  for (let index = 0; index < files; index++) {
    const folder = join(many, `d${Math.floor(index / 1000)}`);
    if (index % 1000 === 0) mkdirSync(folder);
    writeFileSync(join(folder, `f${index}`), String(index).padEnd(100, "."));
  }
});
measure(`change 1 file among ${files}`, () => writeFileSync(join(many, "d0", "f7"), "changed"));
measure(`rename the directory of ${files}`, () => renameSync(many, join(a.dir, "renamed")));
const flat = join(a.dir, "flat");
measure(`create ${files} empty files in one directory`, () => {
  mkdirSync(flat);
  for (let index = 0; index < files; index++) closeSync(openSync(join(flat, `f${index}`), "w"));
});
measure(`rename the flat directory of ${files}`, () => renameSync(flat, join(a.dir, "flat-renamed")));
a.unmount();

function measure(what: string, action: () => void): void {
  a.flush();
  const before = a.status().published;
  const cpuBefore = cpuMs(a.pid);
  const began = performance.now();
  action();
  const acted = performance.now();
  const cpuActed = cpuMs(a.pid);
  a.flush();
  const ended = performance.now();
  const after = a.status().published;
  const row = {
    what,
    actionMs: Math.round((acted - began) * 10) / 10,
    flushMs: Math.round((ended - acted) * 10) / 10,
    agentCpuMs: cpuMs(a.pid) - cpuBefore,
    cpuAfterMs: cpuMs(a.pid) - cpuActed,
    flushes: after.flushes - before.flushes,
    uploadedBytes: after.uploadedBytes - before.uploadedBytes,
    uploadedBlocks: after.uploadedBlocks - before.uploadedBlocks,
    requests: after.requests - before.requests,
    blocksRead: after.blocksRead - before.blocksRead,
    rssMiB: Math.round(rssMiB(a.pid)),
  };
  report(JSON.stringify(row));
}

/** Deterministic noise; `inserted` has one more byte in the middle. */
function writeNoise(path: string, count: number, inserted = false): void {
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(1 << 20);
  const file = openSync(path, "w");
  for (let index = 0; index < count; index++) {
    if (inserted && index === count >> 1) writeSync(file, "+");
    writeSync(file, noise.update(zeros));
  }
  closeSync(file);
}
