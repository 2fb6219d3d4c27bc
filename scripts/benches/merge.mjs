/**
 * What merging costs: by the edits and by the bucket; memory when one side added a million files; and what is published when a
 * directory was renamed in which somebody else edited meanwhile.
 *   node scripts/benches/merge.mjs [--runs 15] [--only 10000 | 100000 | 1000000 | added | renamed]
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { check, checkout, percentile, report, syncline, workspace } from "../drills/lib.ts";
import { CountedBlocks, nodesOf, treeConfig, treeOfFiles, withEdits, withNewFiles } from "./file-trees.mjs";

const dist = (path) => import(pathToFileURL(join(checkout, "dist", path)).href);
const [
  { mergeSnapshots },
  { ChunkCache },
  { createContentConfig },
  { DEFAULT_POLICY },
  { PUBLISH_CHUNK_CACHE_BYTES },
  { openCommandWriter },
  { sourceOfBytes },
  { nameFromText },
] = await Promise.all(
  [
    "fstree/merge/merge-snapshots.js",
    "content/chunk-cache.js",
    "content/config.js",
    "format/commits/policy.js",
    "base/limits.js",
    "agent/command-writer.js",
    "bucket/writer/file-source.js",
    "base/names.js",
  ].map(dist),
);
const [{ systemClock }, { systemRandom }, { silentLog }, { walletSigner }] = await Promise.all(
  ["base/clock.js", "base/random.js", "base/log.js", "crypto/wallet.js"].map(dist),
);

const EDITS = 1_000;
const SIZES = [10_000, 100_000, 1_000_000];
const ADDED = 1_000_000;
const RENAMED = 100_000;
const EDITS_IN_RENAMED = 100;
const args = process.argv.slice(2);
const runs = args.includes("--runs") ? Number(args[args.indexOf("--runs") + 1]) : 15;

if (args[0] === "merge-added") {
  await mergeAdded(args[1]);
} else {
  const space = workspace("bench-merge");
  const wanted = args.includes("--only") ? args[args.indexOf("--only") + 1] : undefined;
  for (const files of SIZES) if ((wanted ?? String(files)) === String(files)) await edits(files);
  if ((wanted ?? "added") === "added") await added(join(space.path, "blocks"));
  if ((wanted ?? "renamed") === "renamed") await renamed(space);
}

/**
 * Two writers change 1,000 files each, anywhere in the bucket; others in each run, since an agent that runs for long has done this
 * before. All blocks are in memory, no node is decoded before.
 */
async function edits(files) {
  const blocks = new CountedBlocks();
  const base = await treeOfFiles(blocks, files);
  const before = blocks.count;
  const figures = [];
  for (let run = 0; run < runs; run++) {
    const numbers = picked(files, 2 * EDITS, run);
    const x = await withEdits(blocks, base, numbers.slice(0, EDITS), "x");
    const y = await withEdits(blocks, base, numbers.slice(EDITS), "y");
    blocks.forgetCounts();
    const times = await timed(() => merge(blocks, base, x, y));
    const { reads: read, requests, puts: written, putBytes: bytes } = blocks;
    figures.push({ ...times, read, requests, written, bytes });
    blocks.forgetBlocks(before);
  }
  const median = (key) => {
    const values = figures.map((figure) => figure[key]);
    return round3(percentile(values, 0.5));
  };
  const row = `merge of 2 × ${EDITS} edits, ${files} files`;
  const medians = Object.fromEntries(Object.keys(figures[0]).map((key) => [key, median(key)]));
  report(JSON.stringify({ row, ...medians, firstMs: round3(figures[0].ms), firstCpuMs: round3(figures[0].cpuMs) }));
}

/** One side adds a million files, the other edits. Merged in a process of its own, whose memory nothing else has used. */
async function added(path) {
  const blocks = new CountedBlocks(path);
  const base = await treeOfFiles(blocks, SIZES[0]);
  const x = await withEdits(blocks, base, picked(SIZES[0], EDITS), "x");
  const y = await withNewFiles(blocks, base, SIZES[0], ADDED);
  writeFileSync(`${path}.json`, JSON.stringify({ saved: blocks.save(), base, x, y }));
  const script = fileURLToPath(import.meta.url);
  const { status } = spawnSync(process.execPath, [script, "merge-added", path], { stdio: "inherit" });
  check(status === 0, `a merge with ${ADDED} new files on one side ends`);
}

async function mergeAdded(path) {
  const { saved, base, x, y } = JSON.parse(readFileSync(`${path}.json`, "utf8"));
  const blocks = new CountedBlocks(path, saved);
  const before = peakMiB();
  const { cpuMs } = await timed(() => merge(blocks, base, x, y));
  const figures = { cpuMs: round3(cpuMs), read: blocks.reads, written: blocks.puts };
  const row = `one side adds ${ADDED} files, the other edits ${EDITS}`;
  report(JSON.stringify({ row, "peak MiB before": before, "peak MiB": peakMiB(), ...figures }));
}

/** A directory is renamed while another writer edits files in it; the renamer publishes last. */
async function renamed(space) {
  const url = `file://${join(space.path, "bucket")}`;
  syncline(space, ["init", url]);
  const write = async (work) => {
    const wallet = async () => walletSigner(Buffer.from(space.env.SYNCLINE_KEY, "hex"));
    const ports = { clock: systemClock, random: systemRandom, log: silentLog, wallet };
    return openCommandWriter({ address: url, stateRoot: join(space.path, "states"), ...ports }).then(work);
  };
  const put = (writer, directory, number, text) =>
    writer.putFile([nameFromText(directory), nameFromText(`file-${number}`)], sourceOfBytes(Buffer.from(text)), {
      mode: 0o644,
      uid: 0,
      gid: 0,
    });
  const end = async ({ writer, ...opened }) => {
    const { kind, figures } = await writer.publish("bench");
    check(kind === "published", "published");
    await opened[Symbol.asyncDispose]();
    return figures;
  };
  await write(async (opened) => {
    for (let number = 0; number < RENAMED; number++) await put(opened.writer, "before", number, `old ${number}`);
    await end(opened);
  });
  await write(async (renamer) => {
    await renamer.writer.move([nameFromText("before")], [nameFromText("after")]);
    await write(async (editor) => {
      for (const number of picked(RENAMED, EDITS_IN_RENAMED)) await put(editor.writer, "before", number, "edited");
      await end(editor);
    });
    const { uploadedBytes, uploadedBlocks, blocksRead } = await end(renamer);
    const row = `rename of a directory of ${RENAMED} beside ${EDITS_IN_RENAMED} edits in it`;
    report(JSON.stringify({ row, uploadedBytes, uploadedBlocks, blocksRead }));
  });
  const arrived = picked(RENAMED, EDITS_IN_RENAMED).map((number) => `${url}/after/file-${number}`);
  for (const path of arrived.slice(0, 5))
    check(syncline(space, ["cat", path]).stdout === "edited", `${path} is as the editor left it`);
  check(!syncline(space, ["ls", url]).stdout.includes("before"), "the old name is gone");
}

function merge(blocks, base, x, y) {
  const context = {
    nodes: nodesOf(blocks),
    content: new ChunkCache(blocks, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES }),
    blocks,
    sink: blocks,
    treeConfig,
    contentConfig: createContentConfig(),
    policy: DEFAULT_POLICY,
  };
  const head = (tree, writer) => ({ tree, lamport: 2, writer: writer.repeat(32), epoch: 1 });
  return mergeSnapshots(context, base, head(x, "a"), head(y, "b"));
}

async function timed(work) {
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: performance.now() - began, cpuMs: (user + system) / 1000 };
}

/** Different numbers of files, the same each time for one seed. */
function picked(files, count, seed = 0) {
  const numbers = new Set();
  let state = 12345 + seed;
  while (numbers.size < count) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers.add(Math.floor((state / 2 ** 32) * files));
  }
  return [...numbers];
}

/** What the system counts for this program alone: `maxRSS` is inherited from the one that started it. */
function peakMiB() {
  const [, kib] = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Math.round(Number(kib) / 1024);
}

function round3(value) {
  return Number(value.toPrecision(3));
}
