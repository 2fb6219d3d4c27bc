/**
 * What a master's store of blocks does on this disk: bytes a second put (flushed) and read, and how long one put takes.
 * `npm run build && node test/bench/master-store.mjs [MiB] [FOLDER]` prints a JSON object a row; 256 MiB a row, in a new folder in FOLDER.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../dist/base/clock.js";
import { silentLog } from "../../dist/base/log.js";
import { systemRandom } from "../../dist/base/random.js";
import { cidOf } from "../../dist/format/cid.js";
import { openMasterStore } from "../../dist/master/store/master-store.js";

const MiB = 2 ** 20;
const sizeMiB = Number(process.argv[2] ?? 256);
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), "syncline-bench-"));
const store = await openMasterStore({
  dir: join(folder, "data"),
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
});
let owners = 0;
const newOwner = () => store.of(`0x${String(++owners).padStart(40, "0")}`);

function row(workload, figures) {
  const rounded = Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(4))]);
  console.log(JSON.stringify({ workload, ...Object.fromEntries(rounded) }));
}

/** Blocks of noise, made and hashed before anything is measured. */
function makeBlocks(count, length) {
  const noise = Buffer.from(systemRandom.bytes(length + 8 * count));
  return Array.from({ length: count }, (_, index) => {
    const bytes = noise.subarray(8 * index, 8 * index + length);
    return { cid: cidOf("raw", bytes), bytes };
  });
}

async function timed(work) {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { s: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
}

async function inBatches(blocks, batch, callers, work) {
  let at = 0;
  const caller = async () => {
    while (at < blocks.length) {
      const part = blocks.slice(at, (at += batch));
      await work(part);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

// What the disk does by itself. All files stay until the end, since memory that was used before is quicker to write into.
{
  const chunk = Buffer.from(systemRandom.bytes(16 * MiB));
  const { s, cpu } = await timed(async () => {
    for (let at = 0; at < sizeMiB; at += 16) {
      const fd = openSync(join(folder, `probe-${at}`), "w");
      writeSync(fd, chunk);
      fdatasyncSync(fd);
      closeSync(fd);
    }
  });
  row("the disk alone: 16 MiB files, each flushed", {
    "put MB/s": (sizeMiB * 1.048576) / s,
    "put CPU s/GB": cpu / (sizeMiB * 0.001048576),
  });
}

for (const [length, batch, callers] of [
  [16 * 1024, 256, 4],
  [64 * 1024, 64, 4],
  [64 * 1024, 1000, 1],
  [256 * 1024, 16, 4],
  [MiB, 4, 4],
  [MiB, 1, 16],
]) {
  const blocks = makeBlocks(Math.floor((sizeMiB * MiB) / length), length);
  const owner = await newOwner();
  const bytes = blocks.length * length;
  const put = await timed(() => inBatches(blocks, batch, callers, (part) => owner.put(part)));
  const cids = blocks.map(({ cid }) => cid);
  const readBatch = Math.max(1, Math.floor((16 * MiB) / length));
  const read = await timed(() => inBatches(cids, readBatch, 1, (part) => owner.getMany(part)));
  row(`${length / 1024} KiB blocks, ${batch} a put, ${callers} at once`, {
    "put MB/s": bytes / 1e6 / put.s,
    "put CPU s/GB": put.cpu / (bytes / 1e9),
    "read MB/s": bytes / 1e6 / read.s,
  });
}

{
  const owner = await newOwner();
  const blocks = makeBlocks(1000, 4096);
  const each = [];
  for (const block of blocks.slice(0, 200)) each.push((await timed(() => owner.put([block]))).s * 1000);
  each.sort((a, b) => a - b);
  row("one block of 4 KiB a put, one after another", { "p50 ms": each[100], "p99 ms": each[198] });
  const together = await timed(() => Promise.all(blocks.slice(200).map((block) => owner.put([block]))));
  row("800 puts of one block of 4 KiB at the same time", { "all ms": together.s * 1000 });
  const known = await timed(() => owner.put(blocks));
  const has = await timed(() => owner.has(blocks.map(({ cid }) => cid)));
  row("1,000 blocks that are known", { "put ms": known.s * 1000, "has ms": has.s * 1000 });
}

await store[Symbol.asyncDispose]();
rmSync(folder, { recursive: true });
