/**
 * What contents cost: how fast files are cut and read, and what one edit of a 1 GiB file reads, uploads and takes.
 * `npm run build && node test/bench/content.mjs` prints a JSON object a row. Blocks are in memory: no disk is measured.
 */
import { ChunkCache } from "../../dist/content/chunk-cache.js";
import { Chunker } from "../../dist/content/chunker.js";
import { createContentConfig, cutRule } from "../../dist/content/config.js";
import { editContent } from "../../dist/content/edit.js";
import { peekContent } from "../../dist/content/read.js";
import { writeContent } from "../../dist/content/write.js";

const MiB = 2 ** 20;
const config = createContentConfig();
const [sizeMiB = 1024] = process.argv.slice(2).map(Number);
const size = sizeMiB * MiB;
const blocks = new Map();
const held = { put: ({ cid, bytes }) => void blocks.set(cid, bytes) };

function noise(offset, length) {
  const words = new Int32Array(Math.ceil(length / 4) + 1);
  for (let index = 0; index < words.length; index++) {
    let word = (offset >>> 2) + index + Math.floor(offset / 2 ** 34);
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    words[index] = word ^ (word >>> 16);
  }
  return new Uint8Array(words.buffer, offset & 3, length);
}

/** Seconds of `work`. */
async function timed(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1_000;
}

function row(workload, figures) {
  const rounded = Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(4))]);
  console.log(JSON.stringify({ workload, ...Object.fromEntries(rounded) }));
}

const sample = noise(0, 128 * MiB);
for (const [about, bytes] of [
  ["cut noise", sample],
  ["cut zeros", new Uint8Array(sample.length)],
]) {
  const chunker = new Chunker(config, cutRule(config, size));
  const push = () => {
    for (let at = 0; at < bytes.length; at += MiB) chunker.push(bytes.subarray(at, at + MiB));
  };
  push();
  row(about, { "MB/s": bytes.length / 1e6 / (await timed(push)) });
}

async function* stretches() {
  for (let at = 0; at < size; at += MiB) yield noise(at, MiB);
}
const generating = await timed(async () => {
  let bytes = 0;
  for await (const stretch of stretches()) bytes += stretch.length;
  return bytes;
});
let content;
const writing = await timed(async () => (content = await writeContent(held, config, { size, stretches: stretches() })));
row(`write ${sizeMiB} MiB: cut, hash, list`, { "MB/s": size / 1e6 / (writing - generating), blocks: blocks.size });

function counted() {
  const counts = { reads: 0, requests: 0, bytes: 0 };
  const getMany = async (cids) => {
    counts.requests++;
    counts.reads += cids.length;
    for (const cid of cids) counts.bytes += blocks.get(cid).length;
    return new Map(cids.map((cid) => [cid, blocks.get(cid)]));
  };
  return { counts, reader: { getMany, get: async (cid) => (await getMany([cid])).get(cid) } };
}

async function edit(about, segments, newSize, readData) {
  const { counts, reader } = counted();
  const fresh = new Map();
  const sink = { put: ({ cid, bytes }) => void (blocks.has(cid) || fresh.set(cid, bytes)) };
  const source = new ChunkCache(reader, { capacityBytes: 16 * MiB });
  const cpu = process.cpuUsage();
  const seconds = await timed(() => editContent(source, sink, config, content, size, segments, newSize, readData));
  const { user, system } = process.cpuUsage(cpu);
  const uploaded = [...fresh.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  row(about, {
    ms: seconds * 1_000,
    "CPU ms": (user + system) / 1_000,
    "blocks read": counts.reads,
    "KB read": counts.bytes / 1_000,
    "read requests": counts.requests,
    "blocks uploaded": fresh.size,
    "KB uploaded": uploaded / 1_000,
  });
}

const base = (offset, end) => ({ offset, length: end - offset, from: "base", epoch: 0 });
const data = (offset, end) => ({ offset, length: end - offset, from: "data", epoch: 1 });
const one = async (_epoch, _offset, length) => new Uint8Array(length).fill(1);
const middle = size / 2 + 12_345;
await edit("1 byte overwritten", [base(0, middle), data(middle, middle + 1), base(middle + 1, size)], size, one);
await edit("1 byte appended", [base(0, size), data(size, size + 1)], size + 1, one);
const scattered = [];
for (let index = 0; index < 1_000; index++) {
  const at = Math.floor((index * size) / 1_000) + 77;
  scattered.push(base(index === 0 ? 0 : scattered.at(-1).offset + 4_096, at), data(at, at + 4_096));
}
scattered.push(base(scattered.at(-1).offset + 4_096, size));
await edit("4 KiB overwritten at 1,000 places", scattered, size, one);
const shifted = async (_epoch, offset, length) => {
  const bytes = noise(offset - 1, length);
  if (offset === middle) bytes[0] = 1;
  return bytes;
};
await edit("1 byte inserted in the middle", [base(0, middle), data(middle, size + 1)], size + 1, shifted);

const { reader } = counted();
const source = new ChunkCache(reader, { capacityBytes: 2 * size });
await source.load([...blocks.keys()]);
const target = new Uint8Array(128 * 1024);
const reading = await timed(() => {
  for (let at = 0; at < size; at += target.length) peekContent(source, content, size, at, target.length, target);
});
row("read in order from memory, 128 KiB a call", {
  "MB/s": size / 1e6 / reading,
  "µs a call": (reading * 1e6 * target.length) / size,
});
let state = 1;
const random = await timed(() => {
  for (let call = 0; call < 100_000; call++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    peekContent(source, content, size, Math.floor((state / 2 ** 32) * (size - 4_096)), 4_096, target);
  }
});
row("read 4 KiB at random from memory", { "µs a call": random * 10 });
