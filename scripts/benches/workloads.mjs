/**
 * The workloads: each runs in an empty folder and answers one number, a rate per second or seconds. Metadata rates come from a
 * small C client, so that the client costs little; the rest runs as the real program that people use.
 */
import { createCipheriv } from "node:crypto";
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout, run } from "../drills/lib.ts";

const FILES = 2_000;
const MIB = 1 << 20;

export const workloads = [
  client("create", "create empty files in one directory", "files/s"),
  client("stat", "stat, cold", "files/s"),
  client("list", "ls -l", "entries/s"),
  client("small", "4 KiB file: create, write, close", "files/s"),
  client("rename", "rename", "files/s"),
  client("unlink", "unlink", "files/s"),
  {
    id: "seqwrite",
    name: "sequential write, 256 MiB in 1 MiB calls",
    unit: "MB/s",
    run: (dir) => sequential(dir).write,
  },
  { id: "seqread", name: "sequential read, 256 MiB in 1 MiB calls", unit: "MB/s", run: (dir) => sequential(dir).read },
  { id: "sync4k", name: "4 KiB random write + fdatasync", unit: "writes/s", run: randomSyncedWrites },
  { id: "sqlite", name: "SQLite, 1,000 single-row transactions", unit: "s", run: sqlite },
  { id: "clone", name: "git clone of this repository, git status", unit: "s", run: clone },
  { id: "import", name: "cp -a of 2,000 real files", unit: "s", run: importFiles },
];

let compiled;

function client(id, name, unit) {
  return {
    id,
    name,
    unit,
    run: (dir) => {
      compiled ??= compileClient();
      const line = run(compiled, [dir, id, String(FILES)]).trim();
      return Number(line.split(" ").at(-1));
    },
  };
}

function compileClient() {
  const binary = join(mkdtempSync(join(tmpdir(), "syncline-client-")), "client");
  run("cc", ["-O2", "-o", binary, join(checkout, "scripts/benches/client.c")]);
  return binary;
}

function sequential(dir) {
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), Buffer.alloc(16));
  const buffer = noise.update(Buffer.alloc(MIB));
  const path = join(dir, "big");
  let file = openSync(path, "w");
  let began = performance.now();
  for (let at = 0; at < 256; at++) {
    buffer.writeUInt32LE(at, 0);
    writeSync(file, buffer);
  }
  fdatasyncSync(file);
  closeSync(file);
  const write = rate(256 * MIB, began) / 1e6;
  if (existsSync("/proc/sys/vm/drop_caches") && process.getuid() === 0) writeFileSync("/proc/sys/vm/drop_caches", "1");
  file = openSync(path, "r");
  began = performance.now();
  while (readSync(file, buffer) > 0);
  closeSync(file);
  return { write, read: rate(256 * MIB, began) / 1e6 };
}

/** Into a file that is settled, for long enough that flushes to the bucket are part of it. */
async function randomSyncedWrites(dir, target) {
  const path = join(dir, "random");
  writeFileSync(path, Buffer.alloc(16 * MIB, 1));
  const file = openSync(path, "r+");
  fdatasyncSync(file);
  await target.settle();
  const block = Buffer.alloc(4096, 2);
  const count = 3_000;
  const began = performance.now();
  for (let at = 0; at < count; at++) {
    writeSync(file, block, 0, 4096, ((at * 2_654_435_761) % 4096) * 4096);
    fdatasyncSync(file);
  }
  const result = rate(count, began);
  closeSync(file);
  return result;
}

function sqlite(dir) {
  const statements = Array.from({ length: 1_000 }, (_, row) => `INSERT INTO t VALUES (${row}, 'row ${row}');`);
  const began = performance.now();
  run("sqlite3", [join(dir, "db.sqlite")], {
    input: `CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);\n${statements.join("\n")}\n`,
  });
  return (performance.now() - began) / 1000;
}

function clone(dir) {
  const began = performance.now();
  run("git", ["clone", "-q", "--no-local", checkout, join(dir, "repo")]);
  run("git", ["-C", join(dir, "repo"), "status", "--porcelain"]);
  return (performance.now() - began) / 1000;
}

function importFiles(dir) {
  const source = join(checkout, "node_modules", "@types");
  const began = performance.now();
  run("cp", ["-a", source, join(dir, "copy")]);
  run("cp", ["-a", join(checkout, "node_modules", "vitest"), join(dir, "copy-2")]);
  return (performance.now() - began) / 1000;
}

function rate(count, began) {
  return count / ((performance.now() - began) / 1000);
}
