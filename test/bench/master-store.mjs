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
import { cidOf } from "../../dist/format/blocks/cid.js";
import { openMasterStore } from "../../dist/master/store/master-store.js";

const MiB = 2 ** 20;
const sizeMiB = Number(process.argv[2] ?? 256);
const parent = process.argv[3] ?? tmpdir();

/** Runs `work` in a folder of its own, which goes afterwards: so every row finds the memory that the one before it used. */
async function inFolder(work) {
  const folder = mkdtempSync(join(parent, "syncline-bench-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs `work` with the blocks of a new owner. */
function withOwner(work) {
  return inFolder(async (folder) => {
    const dir = join(folder, "data");
    const store = await openMasterStore({ dir, clock: systemClock, random: systemRandom, log: silentLog });
    await work(await store.of(`0x${"1".repeat(40)}`));
    await store[Symbol.asyncDispose]();
  });
}

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

/** What the disk does by itself. */
function diskAlone(name) {
  return inFolder(async (folder) => {
    const chunk = Buffer.from(systemRandom.bytes(16 * MiB));
    const { s, cpu } = await timed(async () => {
      for (let at = 0; at < sizeMiB; at += 16) {
        const fd = openSync(join(folder, `probe-${at}`), "w");
        writeSync(fd, chunk);
        fdatasyncSync(fd);
        closeSync(fd);
      }
    });
    if (name !== undefined)
      row(name, { "put MB/s": (sizeMiB * 1.048576) / s, "put CPU s/GB": cpu / (sizeMiB * 0.001048576) });
  });
}

function throughput(length, batch, callers) {
  return withOwner(async (owner) => {
    const blocks = makeBlocks(Math.floor((sizeMiB * MiB) / length), length);
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
  });
}

function latency() {
  return withOwner(async (owner) => {
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
  });
}

await diskAlone();
await diskAlone("the disk alone: 16 MiB files, each flushed");
for (const [length, batch, callers] of [
  [16 * 1024, 256, 4],
  [64 * 1024, 64, 4],
  [64 * 1024, 1000, 1],
  [256 * 1024, 16, 4],
  [MiB, 4, 4],
  [MiB, 1, 16],
])
  await throughput(length, batch, callers);
await latency();
await diskAlone("the disk alone once more");
