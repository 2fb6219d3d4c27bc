/**
 * The workloads: each runs in an empty folder and answers one number, a rate per second or seconds. Calls are made by a small C
 * client, so that the client costs little; the rest runs as the real program that people use. "Cold": what a workload needs is
 * made first, settled, and dropped from the kernel's caches (as root).
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout, run } from "../drills/lib.ts";

const TRANSACTIONS = 1_000;
const SOURCES = 40;

/** `count`: files or calls of each workload that makes calls. */
export function workloadsOf(count) {
  const calls = (id, name, unit, options) => callsOf(id, name, unit, count, options);
  return [
    calls("create", "create empty files", "files/s"),
    calls("stat", "stat, cold", "files/s", { needs: "files", isCold: true }),
    calls("list", "ls -l, cold", "entries/s", { needs: "files", isCold: true }),
    calls("open", "open, close, cold", "files/s", { needs: "files", isCold: true }),
    calls("rename", "rename", "files/s", { needs: "files" }),
    calls("unlink", "unlink", "files/s", { needs: "files" }),
    calls("small", "4 KiB file: create, write, close", "files/s"),
    calls("small-sync", "4 KiB file: create, write, fsync", "files/s"),
    calls("read", "4 KiB file: read, cold", "files/s", { needs: "small", isCold: true }),
    calls("overwrite", "4 KiB file: overwrite", "files/s", { needs: "small" }),
    calls("append", "append 200 bytes", "calls/s"),
    calls("append-sync", "append 200 bytes, fdatasync", "calls/s"),
    calls("random-read", "read 4 KiB at random, cold", "calls/s", { needs: "big", isCold: true }),
    calls("random-write", "write 4 KiB at random", "calls/s", { needs: "big" }),
    calls("random-sync", "write 4 KiB at random, fdatasync", "calls/s", { needs: "big" }),
    calls("seq-write", "write 256 MiB, fsync", "MB/s"),
    calls("seq-read", "read 256 MiB, cold", "MB/s", { needs: "big", isCold: true }),
    calls("seq-reread", "read 256 MiB, warm", "MB/s", { needs: "big", isWarm: true }),
    timed("copy", "cp -a of this repository", undefined, (dir) => run("cp", ["-a", tree(), join(dir, "copy")])),
    timed("tar", "read that copy, cold", copied, (dir) => run("sh", ["-c", 'tar -c "$0" | wc -c', join(dir, "copy")])),
    timed("remove", "rm -r of that copy", copied, (dir) => rmSync(join(dir, "copy"), { recursive: true })),
    timed("clone", "git clone of this repository", undefined, (dir) => clone(dir)),
    timed("status", "git status, cold", clone, (dir) => run("git", ["-C", join(dir, "repo"), "status", "--porcelain"])),
    timed("make", `make -j2 of ${SOURCES} C files`, sources, (dir) => run("make", ["-C", dir, "-s", "-j2"])),
    timed("npm", "npm ci of this repository", packageFiles, (dir) => run("npm", ["ci", ...NPM], { cwd: dir })),
    timed("sqlite", "SQLite, 1,000 transactions", undefined, (dir) => sqlite(dir, "DELETE")),
    timed("sqlite-wal", "SQLite, 1,000 transactions, WAL", undefined, (dir) => sqlite(dir, "WAL")),
  ];
}

function callsOf(id, name, unit, count, { needs, isCold = false, isWarm = false } = {}) {
  const client = (dir, what) =>
    Number(
      run(compiled(), [dir, what, String(count)])
        .trim()
        .split(" ")
        .at(-1),
    );
  return {
    id,
    name,
    unit,
    async run(dir, target) {
      if (needs !== undefined) {
        client(dir, `prepare-${needs}`);
        await target.settle();
      }
      if (isCold) dropCaches();
      if (isWarm) client(dir, id);
      target.begins?.();
      const rate = client(dir, id);
      target.ended?.();
      return rate;
    },
  };
}

/** `prepare` makes what it needs, which is then settled and cold. */
function timed(id, name, prepare, work) {
  return {
    id,
    name,
    unit: "s",
    async run(dir, target) {
      if (prepare !== undefined) {
        prepare(dir);
        await target.settle();
        dropCaches();
      }
      const began = performance.now();
      work(dir);
      return (performance.now() - began) / 1_000;
    },
  };
}

let client;

function compiled() {
  if (client !== undefined) return client;
  client = join(mkdtempSync(join(tmpdir(), "syncline-client-")), "client");
  run("cc", ["-O2", "-o", client, join(checkout, "scripts/benches/client.c")]);
  return client;
}

let files;

/** This repository's files, once. */
function tree() {
  if (files !== undefined) return files;
  files = mkdtempSync(join(tmpdir(), "syncline-tree-"));
  run("sh", ["-c", 'git -C "$0" archive HEAD | tar -x -C "$1"', checkout, files]);
  return files;
}

function copied(dir) {
  run("cp", ["-a", tree(), join(dir, "copy")]);
}

function clone(dir) {
  run("git", ["clone", "-q", "--no-local", checkout, join(dir, "repo")]);
}

function sources(dir) {
  const names = Array.from({ length: SOURCES }, (_, at) => `s${at}`);
  for (const name of names) copyFileSync(join(checkout, "scripts/benches/client.c"), join(dir, `${name}.c`));
  writeFileSync(join(dir, "Makefile"), `all: ${names.map((name) => `${name}.o`).join(" ")}\n`);
}

const NPM = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];

function packageFiles(dir) {
  for (const name of ["package.json", "package-lock.json"]) copyFileSync(join(checkout, name), join(dir, name));
}

function sqlite(dir, journal) {
  const rows = Array.from({ length: TRANSACTIONS }, (_, row) => `INSERT INTO t VALUES (${row}, 'row ${row}');`);
  const table = "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);";
  run("sqlite3", [join(dir, "db.sqlite")], { input: [`PRAGMA journal_mode=${journal};`, table, ...rows].join("\n") });
}

function dropCaches() {
  const control = "/proc/sys/vm/drop_caches";
  run("sync", []);
  if (existsSync(control) && process.getuid() === 0) writeFileSync(control, "3");
}
