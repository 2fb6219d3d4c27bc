/**
 * Prints what a big tree costs: height, bytes an edit, milliseconds. Best and median of several runs, in memory.
 *
 *   npx tsc -p tsconfig.json --noEmit false --outDir dist/bench && node dist/bench/test/bench/tree.js [ENTRIES] [TARGET BYTES]
 */
import { systemRandom } from "../../src/base/random.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { birthId, dentryKey } from "../../src/format/files/keys.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { nameFromText } from "../../src/base/names.ts";
import { createTreeConfig } from "../../src/tree/boundary.ts";
import { diffBatches } from "../../src/tree/diff.ts";
import { buildTree, editTree } from "../../src/tree/edit.ts";
import type { Edit, Entry } from "../../src/tree/entry.ts";
import { mergeTrees } from "../../src/tree/merge.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { peekGet, range } from "../../src/tree/read.ts";
import { BlockMap } from "../support/block-map.ts";

const ENTRIES = Number(process.argv[2] ?? 100_000);
const TARGET = Number(process.argv[3] ?? 16 * 1024);
const FILES_IN_DIRECTORY = 100;
const VALUE_BYTES = 100;

const blocks = new BlockMap();
const nodes = new NodeStore(blocks, { capacityBytes: 2 ** 30 });
const config = createTreeConfig({ salt: Buffer.from("bench"), targetBytes: TARGET });
const keys = makeKeys();
const link = cidOf("raw", Buffer.from("content"));

const built = performance.now();
const root = await buildTree(nodes, blocks, config, entries());
print("build", `${(performance.now() - built).toFixed(0)} ms`);
const { level } = await nodes.node(root);
print("tree", `${ENTRIES} entries, height ${level + 1}, ${blocks.puts.length} nodes, ${megabytes(blocks.putBytes)}`);

const add = (edit: Edit): Edit => ({ ...edit, key: Buffer.concat([edit.key, Buffer.from("~")]) });
await measure("one change", 400, () => [change(pick(1)[0] ?? 0)]);
await measure("one insert", 400, () => [change(pick(1)[0] ?? 0)].map(add));
await measure("one delete", 400, () => [{ ...change(pick(1)[0] ?? 0), value: undefined }]);
await measure("1,000 changes", 15, () => pick(1_000).map((index) => change(index)));
await measure("1,000 changes of length", 15, () => pick(1_000).map((index) => change(index, VALUE_BYTES + 9)));
await measure("1,000 changes in 50 directories", 15, () => inDirectories(50, 20));

const ours = await editTree(
  nodes,
  blocks,
  config,
  root,
  pick(1_000).map((index) => change(index)),
);
const theirs = await editTree(
  nodes,
  blocks,
  config,
  root,
  pick(1_000).map((index) => change(index, VALUE_BYTES + 9)),
);
await time("diff of 1,000 changes", 15, () => countChanges(nodes));
await time("  unread before", 5, () => countChanges(new NodeStore(blocks, { capacityBytes: 2 ** 26 })));
await time("merge of 2 × 1,000 changes", 15, () => merge(nodes));
await time("  unread before", 5, () => merge(new NodeStore(blocks, { capacityBytes: 2 ** 26 })));
await time(
  "1,000 gets",
  15,
  async () => void pick(1_000).map((index) => peekGet(nodes, root, keys[index] ?? Buffer.of())),
);
await time("read of all entries", 3, readAll);

async function measure(name: string, runs: number, edits: () => Edit[]): Promise<void> {
  let bytes = 0;
  let count = 0;
  const sink = {
    put(block: { bytes: Uint8Array }) {
      bytes += block.bytes.length;
      count++;
    },
  };
  const samples = Array.from({ length: runs }, edits);
  const times: number[] = [];
  for (const sample of samples) {
    const start = performance.now();
    await editTree(nodes, sink, config, root, sample);
    times.push(performance.now() - start);
  }
  print(name, spread(times), `${(bytes / runs / 1000).toFixed(1)} KB in ${(count / runs).toFixed(1)} nodes`);
}

async function time(name: string, runs: number, work: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  blocks.forgetCounts();
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  const { reads, requests } = blocks;
  const read = reads.length === 0 ? "" : `${reads.length / runs} nodes in ${requests / runs} requests`;
  print(name, spread(times), read);
}

async function countChanges(from: NodeStore): Promise<void> {
  let count = 0;
  for await (const changes of diffBatches(from, root, ours)) count += changes.length;
  if (count !== 1_000) throw new RangeError(`${count} changes`);
}

function merge(from: NodeStore): Promise<unknown> {
  return mergeTrees(from, { put: () => undefined }, config, root, ours, theirs, (_, base, mine) => mine ?? base);
}

async function readAll(): Promise<void> {
  let count = 0;
  for await (const entry of range(nodes, root)) count += entry.key.length > 0 ? 1 : 0;
  if (count !== ENTRIES) throw new RangeError(`${count} entries`);
}

/** Keys as a filesystem has them: directories of 100 files under a root. */
function makeKeys(): Uint8Array[] {
  const made: Uint8Array[] = [];
  for (let directory = 0; made.length < ENTRIES; directory++) {
    const id = birthId(ROOT_ID, nameFromText(`directory-${directory}`), "directory", 0);
    for (let file = 0; file < FILES_IN_DIRECTORY && made.length < ENTRIES; file++) {
      made.push(dentryKey(id, nameFromText(`document-${String(file).padStart(3, "0")}.txt`)));
    }
  }
  return made.sort(Buffer.compare);
}

function* entries(): Generator<Entry> {
  for (const key of keys) yield { key, value: systemRandom.bytes(VALUE_BYTES), links: [link] };
}

function change(index: number, length: number = VALUE_BYTES): Edit {
  return { key: keys[index] ?? Buffer.of(), value: systemRandom.bytes(length), links: [link] };
}

/** Ascending random indexes of entries. */
function pick(count: number): number[] {
  const picked = new Set<number>();
  while (picked.size < count) picked.add(Math.floor(systemRandom.fraction() * ENTRIES));
  return [...picked].sort((a, b) => a - b);
}

function inDirectories(directories: number, files: number): Edit[] {
  const starts = pick(directories).map((index) => index - (index % FILES_IN_DIRECTORY));
  const indexes = starts.flatMap((start) => Array.from({ length: files }, (_, file) => start + file));
  return [...new Set(indexes)].filter((index) => index < ENTRIES).map((index) => change(index));
}

function spread(times: number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return `${(sorted[0] ?? 0).toFixed(2)} / ${(sorted[sorted.length >> 1] ?? 0).toFixed(2)} ms`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function print(name: string, ...figures: string[]): void {
  console.log(name.padEnd(34), ...figures.map((figure) => figure.padEnd(24)));
}
