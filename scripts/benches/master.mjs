/**
 * Buckets at a master on loopback: what goes up and down a second, what an import takes beside `cp -r` on the same disk, what a swap
 * takes. Client and master share the machine's processors, so their CPU seconds stand beside the wall clock.
 *   node scripts/benches/master.mjs [--runs 3]
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { agent, checkout, master, percentile, report, run, syncline, workspace } from "../drills/lib.ts";

const args = process.argv.slice(2);
const runs = args.includes("--runs") ? Number(args[args.indexOf("--runs") + 1]) : 3;
const MIB = 1 << 20;
const BYTES = 100_000_000;
const BLOCK = 128 * 1024;
/** Downloads one after another: a master runs for long, and the median is of those that are warm. */
const DOWNLOADS = 12;
/** As a program that reads ahead. */
const AHEAD = 16 * MIB;
const AHEAD_READS = 2;
const SWAPS = 200;

const dist = (path) => import(pathToFileURL(join(checkout, "dist", path)).href);
const [
  { mapConcurrent },
  { systemClock },
  { systemRandom },
  { silentLog },
  { masterAccess },
  { walletSigner },
  { openCommandWriter },
  { openRemote },
] = await Promise.all(
  [
    "base/concurrency.js",
    "base/clock.js",
    "base/random.js",
    "base/log.js",
    "net/access.js",
    "crypto/wallet.js",
    "agent/command-writer.js",
    "bucket/open-remote.js",
  ].map(dist),
);
const [{ cidOf }, { HttpRootStore }, { sourceOfBytes }, { nameFromText }] = await Promise.all(
  ["format/blocks/cid.js", "roots/http-root-store.js", "bucket/writer/file-source.js", "base/names.js"].map(dist),
);

const space = workspace("bench-master");
const served = await master(space);
const url = `${served.origin}/bench`;
const folder = `file://${join(space.path, "folder-bucket")}`;
for (const bucket of [url, folder]) syncline(space, ["init", bucket]);
const wallet = async () => walletSigner(Buffer.from(space.env.SYNCLINE_KEY, "hex"));
const ports = { clock: systemClock, random: systemRandom, access: masterAccess({ wallet, clock: systemClock }) };

const rows = new Map();
for (let round = 0; round < runs; round++) {
  await transfers();
  copies(round);
}
await swaps();
for (const [name, values] of rows) {
  const median = Object.fromEntries(
    Object.keys(values[0]).map((key) => [
      key,
      round3(
        percentile(
          values.map((v) => v[key]),
          0.5,
        ),
      ),
    ]),
  );
  report(JSON.stringify({ row: name, ...median }));
}
await served.stop();

/** Blocks that the program has in memory, up through an upload session and down through the reader. */
async function transfers() {
  const blocks = [];
  for (let at = 0; at < BYTES; at += BLOCK) {
    const bytes = randomBytes(Math.min(BLOCK, BYTES - at));
    blocks.push({ cid: cidOf("raw", bytes), bytes });
  }
  await using(await openRemote(url, ports), async (remote) => {
    const root = await remote.readRoot();
    const commit = { cid: root.commit, bytes: await remote.blocks.get(root.commit) };
    const upload = () =>
      using(remote.beginUpload(), async (session) => {
        for (const block of blocks) await session.putContent(block);
        const { uploaded } = await session.prepare(root, { commit, blocks: [] });
        return { requests: uploaded.requests, sent: uploaded.bytes };
      });
    await measured("blocks up, 100 MB", upload);
    await measured("the same blocks again", upload);
    const groups = [];
    for (let at = 0; at < blocks.length; at += AHEAD / BLOCK) groups.push(blocks.slice(at, at + AHEAD / BLOCK));
    const download = async () => {
      await mapConcurrent(groups, AHEAD_READS, (group) => remote.blocks.getMany(group.map(({ cid }) => cid)));
      return {};
    };
    await measured("blocks down after an upload, 100 MB", download);
    for (let count = 0; count < DOWNLOADS; count++) await measured("blocks down, 100 MB", download);
  });
}

/** What `await using` does, which Node.js 20 lacks. */
async function using(resource, work) {
  try {
    return await work(resource);
  } finally {
    await resource[Symbol.asyncDispose]();
  }
}

async function measured(name, work) {
  const before = { wall: performance.now(), own: process.cpuUsage(), served: cpuOf(served.pid) };
  const facts = await work();
  const own = process.cpuUsage(before.own);
  const seconds = (performance.now() - before.wall) / 1000;
  note(name, {
    "MB/s": BYTES / 1e6 / seconds,
    "client CPU s": (own.user + own.system) / 1e6,
    "master CPU s": cpuOf(served.pid) - before.served,
    ...facts,
  });
}

/** The command line, with all that it takes to start, beside cp. */
function copies(round) {
  const big = join(space.path, "big");
  writeFileSync(big, randomBytes(BYTES));
  const many = join(space.path, "many");
  const total = makeFiles(many);
  for (const [name, source] of [
    ["100 MB file", big],
    [`2,000 files, ${(total / 1e6).toFixed(1)} MB`, many],
  ]) {
    const cp = timed(() => run("sh", ["-c", `cp -r ${source} ${join(space.path, "copy")} && sync -f ${space.path}`]));
    rmSync(join(space.path, "copy"), { recursive: true });
    for (const [where, bucket] of [
      ["master", url],
      ["folder", folder],
    ]) {
      let figures;
      const put = timed(
        () =>
          (figures = syncline(space, [
            "put",
            "-r",
            source,
            `${bucket}/${name.split(" ")[0]}-${round}`,
            "--json",
          ]).json()),
      );
      const target = join(space.path, `out-${where}`);
      const get = timed(() => syncline(space, ["get", "-r", `${bucket}/${name.split(" ")[0]}-${round}`, target]));
      rmSync(target, { recursive: true, force: true });
      const { requests, uploadedBytes: sent } = figures;
      note(`${name}, ${where}`, { "cp -r s": cp, "put s": put, "get s": get, ratio: cp / put, requests, sent });
    }
  }
  // Others than before, which the master has by now.
  makeFiles(many);
  const cp = timed(() => run("cp", ["-r", many, join(space.path, "copy")]));
  const mounted = agent(space, `mount-${round}`, url);
  const into = timed(() => run("cp", ["-r", many, join(mounted.dir, `mounted-${round}`)]));
  const published = timed(() => mounted.flush());
  const { requests, uploadedBytes: sent } = mounted.status().published;
  mounted.unmount();
  note("2,000 files into a mount", {
    "cp -r s": cp,
    "cp -r into the mount s": into,
    "until published s": published,
    ratio: cp / into,
    requests,
    sent,
  });
  for (const path of [big, many, join(space.path, "copy")]) rmSync(path, { recursive: true });
}

/** 2,000 files of up to 105 kB in 50 folders; their bytes in all. */
function makeFiles(path) {
  let total = 0;
  for (let index = 0; index < 2_000; index++) {
    const into = join(path, `d${index % 50}`);
    mkdirSync(into, { recursive: true });
    const bytes = Math.floor(((index % 100) / 100) ** 3 * 108_000) + 100;
    total += bytes;
    writeFileSync(join(into, `f${index}`), randomBytes(bytes));
  }
  return total;
}

/** One small edit after another; what of it is the swap. */
async function swaps() {
  const took = { edit: [], swap: [] };
  const { swap } = HttpRootStore.prototype;
  HttpRootStore.prototype.swap = async function (...given) {
    const began = performance.now();
    const outcome = await swap.apply(this, given);
    took.swap.push(performance.now() - began);
    return outcome;
  };
  for (let index = 0; index < SWAPS; index++) {
    const options = { address: url, stateRoot: join(space.path, "state-swaps"), wallet, log: silentLog, ...ports };
    await using(await openCommandWriter(options), async ({ writer }) => {
      const attributes = { mode: 0o644, uid: 0, gid: 0 };
      await writer.putFile([nameFromText(`edit-${index % 10}`)], sourceOfBytes(randomBytes(4096)), attributes);
      const began = performance.now();
      await writer.publish("edit");
      took.edit.push(performance.now() - began);
    });
  }
  for (const [name, values] of Object.entries(took)) {
    note(`${name}, ms`, { p50: percentile(values, 0.5), p99: percentile(values, 0.99), n: values.length });
  }
}

function note(name, values) {
  rows.set(name, [...(rows.get(name) ?? []), values]);
}

function timed(work) {
  const began = performance.now();
  work();
  return (performance.now() - began) / 1000;
}

/** User and system time of a process so far: fields 14 and 15 of /proc/PID/stat, in ticks of 10 ms (proc(5)). */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function round3(value) {
  return Number(value.toPrecision(3));
}
