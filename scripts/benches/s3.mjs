/**
 * A bucket in S3 beside rclone, on the same versitygw: one file of 100 MB and 2,000 small ones up and down, as whole processes; one
 * small edit in a mount; a cold mount until its first listing.
 *   node scripts/benches/s3.mjs [--runs 3] [--files 1000000: only a cold mount of a bucket of so many]
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agent, pathIn, percentile, report, rssMiB, s3Server, syncline, workspace } from "../drills/lib.ts";
import { bucketOfFiles } from "../drills/many-files.ts";
import { rcloneEnv } from "./s3-peers.mjs";

const args = process.argv.slice(2);
const runs = args.includes("--runs") ? Number(args[args.indexOf("--runs") + 1]) : 3;
const FILES = 2_000;
const EDITS = 50;

const space = workspace("bench-s3");
const server = await s3Server(space, join(space.path, "s3"));
const url = server.url("bench");
syncline(space, ["init", url]);
const big = join(space.path, "big");
const tree = join(space.path, "tree");
mkdirSync(tree);
for (let at = 0; at < FILES; at++) {
  const folder = join(tree, `d${at % 20}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `f${at}`), randomBytes(25_000));
}

if (args.includes("--files")) {
  await coldMount(Number(args[args.indexOf("--files") + 1]));
  process.exit(0);
}
const rows = new Map();
for (let round = 0; round < runs; round++) {
  writeFileSync(big, randomBytes(100_000_000));
  const got = join(space.path, `got-${round}`);
  row("100 MB up", {
    syncline: timed(() => syncline(space, ["put", big, pathIn(url, `big-${round}`)])),
    rclone: timed(() => rclone("copyto", big, `s:bucket/rclone/big-${round}`)),
  });
  row("100 MB down", {
    syncline: timed(() => syncline(space, ["get", pathIn(url, `big-${round}`), `${got}-a`])),
    rclone: timed(() => rclone("copyto", `s:bucket/rclone/big-${round}`, `${got}-b`)),
  });
  row(`${FILES} files, 50 MB, up`, {
    syncline: timed(() => syncline(space, ["put", "-r", `${tree}/.`, pathIn(url, `tree-${round}`)])),
    rclone: timed(() => rclone("copy", tree, `s:bucket/rclone/tree-${round}`)),
  });
  row(`${FILES} files, 50 MB, down`, {
    syncline: timed(() => syncline(space, ["get", "-r", pathIn(url, `tree-${round}`), `${got}-c`])),
    rclone: timed(() => rclone("copy", `s:bucket/rclone/tree-${round}`, `${got}-d`)),
  });
  for (const each of ["a", "b", "c", "d"]) rmSync(`${got}-${each}`, { recursive: true, force: true });
}
for (const [what, all] of rows) {
  const median = (who) =>
    percentile(
      all.map((values) => values[who]),
      0.5,
    );
  const [ours, theirs] = [median("syncline"), median("rclone")];
  report(
    JSON.stringify({ row: what, "syncline s": round3(ours), "rclone s": round3(theirs), ratio: round3(theirs / ours) }),
  );
}
edits();

function edits() {
  const began = performance.now();
  const a = agent(space, "a", url);
  const entries = readdirSync(a.dir).length;
  report(
    JSON.stringify({ row: "cold mount until its first ls", s: round3((performance.now() - began) / 1_000), entries }),
  );
  const all = [];
  for (let at = 0; at < EDITS; at++) {
    const begun = performance.now();
    writeFileSync(join(a.dir, "edited"), `edit ${at}\n`);
    a.flush();
    all.push(performance.now() - begun);
  }
  report(
    JSON.stringify({
      row: "one edit, with the command flush, ms",
      p50: round3(percentile(all, 0.5)),
      p99: round3(percentile(all, 0.99)),
    }),
  );
  a.unmount();
}

/** Each time with an empty state; the server's files are in the kernel's memory. */
async function coldMount(files) {
  const many = server.url("many");
  await bucketOfFiles(space, many, files);
  for (let round = 0; round < runs; round++) {
    const began = performance.now();
    const one = agent(space, `cold-${round}`, many);
    const entries = readdirSync(one.dir).length;
    const s = round3((performance.now() - began) / 1_000);
    const begun = performance.now();
    const listed = readdirSync(join(one.dir, "flat"), { withFileTypes: true }).length;
    const flat = round3((performance.now() - begun) / 1_000);
    report(
      JSON.stringify({
        row: `cold mount of ${files} files until its first ls`,
        s,
        entries,
        listed,
        flat,
        "RSS MiB": round3(rssMiB(one.pid)),
      }),
    );
    one.unmount();
  }
}

function row(what, values) {
  rows.set(what, [...(rows.get(what) ?? []), values]);
}

function rclone(...what) {
  const { status, stderr } = spawnSync("rclone", what, { env: rcloneEnv(space, server) });
  if (status !== 0) throw new Error(`rclone ${what.join(" ")}: ${stderr}`);
}

function timed(work) {
  const began = performance.now();
  work();
  return (performance.now() - began) / 1_000;
}

function round3(value) {
  return Number(value.toPrecision(3));
}
