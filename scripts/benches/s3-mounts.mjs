/**
 * A mount on s3:// beside `rclone mount --vfs-cache-mode writes`, s3fs and JuiceFS (with Redis and --writeback), on the same versitygw. The ground is not equal: ours
 * answers from the local disk, where fsync makes it durable, and uploads afterwards, many files in one object; the others upload
 * an object for each file, s3fs before close or fsync returns. The rows "until …" say how long the rest of the upload takes after
 * the row above. Cold: a new mount; only ours keeps the blocks and names that its state has on disk, so it gets an empty state.
 *   node scripts/benches/s3-mounts.mjs [--files 2000] [--megabytes 100]
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { agent, report, s3Server, syncline, until, workspace } from "../drills/lib.ts";
import { s3Peers } from "./s3-peers.mjs";

const args = process.argv.slice(2);
const option = (name, fallback) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : fallback);
const FILES = option("--files", 2_000);
const BYTES = option("--megabytes", 100) * 1_000_000;
const RENAMES = 200;

const space = workspace("bench-s3-mounts");
const server = await s3Server(space, join(space.path, "s3"));
const url = server.url("bench");
syncline(space, ["init", url]);
let opened = 0;

const peers = await s3Peers(space, server, {
  rclone: (cache) => ["--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--cache-dir", cache],
  s3fs: () => [],
});
const kinds = { syncline: ours };
for (const [kind, mount] of Object.entries(peers)) {
  kinds[kind] = async () => {
    const cache = join(space.path, `cache-${++opened}`);
    const one = await mount(join(space.path, `other-${opened}`), cache);
    return { ...one, settle: (isThere) => (kind === "juicefs" ? uploadedFrom(cache) : stored(kind, isThere)) };
  };
}

const rows = {};
for (const [kind, mount] of Object.entries(kinds)) {
  const warm = await mount();
  const files = join(warm.dir, "files");
  mkdirSync(files);
  await row(kind, `create ${FILES} files of 4 kB`, () => {
    for (let at = 0; at < FILES; at++) writeFileSync(join(files, `f${at}`), randomBytes(4_000));
  });
  await row(kind, "  until all of it is in S3", () => warm.settle((folder) => count(folder, /^f/) === FILES));
  await row(kind, `write ${BYTES / 1e6} MB, fsync`, () => {
    const file = openSync(join(warm.dir, "big"), "w");
    for (let at = 0; at < BYTES; at += 1_000_000) writeSync(file, randomBytes(1_000_000));
    fsyncSync(file);
    closeSync(file);
  });
  await row(kind, "  until it is in S3", () => warm.settle((folder) => sizeOf(join(folder, "big")) === BYTES));
  await row(kind, `rename ${RENAMES} files`, () => {
    for (let at = 0; at < RENAMES; at++) renameSync(join(files, `f${at}`), join(files, `renamed-${at}`));
  });
  await row(kind, "  until they are in S3", () => warm.settle((folder) => count(folder, /^renamed/) === RENAMES));
  await warm.unmount();
  const cold = await mount();
  await row(kind, "ls -lR, cold", () => done(spawnSync("ls", ["-lR", cold.dir], { stdio: "ignore" })));
  await row(kind, `read ${BYTES / 1e6} MB, cold`, () =>
    done(spawnSync("dd", [`if=${join(cold.dir, "big")}`, "of=/dev/null", "bs=1M"])),
  );
  await cold.unmount();
}
for (const [name, values] of Object.entries(rows)) report(JSON.stringify({ row: name, ...values }));
await server.stop();

async function ours() {
  const one = agent(space, `m${++opened}`, url);
  return { dir: one.dir, settle: async () => one.flush(), unmount: async () => one.unmount() };
}

/** JuiceFS keeps what is not uploaded yet below "rawstaging" of its cache. */
function uploadedFrom(cache) {
  const waits = () =>
    existsSync(cache) && readdirSync(cache, { recursive: true }).some((name) => /rawstaging\/.*_\d+$/.test(name));
  return until(() => !waits(), 300_000, "JuiceFS to upload", 10);
}

async function row(kind, name, work) {
  const began = performance.now();
  await work();
  rows[name] = { ...rows[name], [`${kind} s`]: Number(((performance.now() - began) / 1_000).toPrecision(3)) };
}

/** What the other programs keep as objects of their own appears whole in the server's folder. */
async function stored(kind, isThere) {
  await until(() => isThere(join(server.folder, kind)), 300_000, `${kind} to upload`, 10);
}

function count(folder, names) {
  return readdirSync(join(folder, "files")).filter((name) => names.test(name)).length;
}

function sizeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function done({ status, stderr }) {
  if (status !== 0) throw new Error(String(stderr));
}
