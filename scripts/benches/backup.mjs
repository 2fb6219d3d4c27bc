/**
 * A folder kept in a bucket, beside kopia and restic: a first run, one in which nothing changed, one after a small edit and one after a
 * byte was inserted into a large file, then everything restored. Each step is one process; each program has its own folder and its own
 * ground in memory. The peers encrypt, and keep snapshots; ours also brings what others changed. Random bytes, so that compressing
 * gains nothing.
 *   node scripts/benches/backup.mjs [--runs 3] [--files 10000] [--megabytes 500]
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { checkout, join, percentile, report, run, syncline, workspace } from "../drills/lib.ts";
import { grounds } from "./grounds.mjs";

const args = process.argv.slice(2);
const option = (name, fallback) => Number(args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const [runs, files, megabytes] = [option("--runs", 3), option("--files", 10_000), option("--megabytes", 500)];
const [FILE_BYTES, DIRECTORIES] = [20_000, 100];
const TIME = "/usr/bin/time";

const space = workspace("bench-backup");
const ground = grounds(space, false);
const env = { ...space.env, KOPIA_PASSWORD: "bench", KOPIA_CHECK_FOR_UPDATES: "false", RESTIC_PASSWORD: "bench" };
const isThere = (command) => spawnSync("sh", ["-c", `command -v ${command}`], { env }).status === 0;

/** Where a program keeps what, and the commands that it takes. */
const programs = {
  syncline(place) {
    const url = `file://${join(place, "store")}`;
    syncline(space, ["init", url]);
    const program = [process.execPath, join(checkout, "dist/main.js")];
    return {
      save: (folder) => [...program, "sync", url, folder, "--once"],
      restore: (target) => [...program, "get", "-r", url, target],
    };
  },
  kopia(place) {
    const kopia = ["kopia", `--config-file=${join(place, "config")}`, "--no-progress"];
    const cache = `--cache-directory=${join(place, "cache")}`;
    done(
      spawnSync(
        kopia[0],
        [...kopia.slice(1), "repository", "create", "filesystem", `--path=${join(place, "store")}`, cache],
        { env },
      ),
    );
    return {
      save: (folder) => [...kopia, "snapshot", "create", folder],
      restore(target) {
        const list = done(spawnSync(kopia[0], [...kopia.slice(1), "snapshot", "list", "--json"], { env }));
        return [...kopia, "snapshot", "restore", JSON.parse(String(list)).at(-1).id, target];
      },
    };
  },
  restic(place) {
    const restic = ["restic", "--repo", join(place, "store"), "--cache-dir", join(place, "cache"), "--quiet"];
    done(spawnSync(restic[0], [...restic.slice(1), "init"], { env }));
    return {
      save: (folder) => [...restic, "backup", folder],
      restore: (target) => [...restic, "restore", "latest", "--target", target],
    };
  },
};

if (!existsSync(TIME)) throw new Error(`${TIME} is missing: apt-get install time`);
const names = Object.keys(programs).filter((name) => name === "syncline" || isThere(name));
const rows = new Map();
for (let round = 0; round < runs; round++) for (const name of names) measure(name, round);
for (const [what, all] of rows) {
  const middle = (name, key) => {
    const values = all.filter((one) => one.name === name).map((one) => one[key]);
    return Number(percentile(values, 0.5).toPrecision(3));
  };
  const each = names.map((name) => [
    name,
    { s: middle(name, "s"), cpu: middle(name, "cpu"), mib: middle(name, "mib") },
  ]);
  report(JSON.stringify({ bench: "backup", row: what, runs, ...Object.fromEntries(each) }));
}
process.exit(0);

function measure(name, round) {
  const place = ground.folder(`${name}-${round}`);
  const [folder, target, large] = ["folder", "target", "folder/large"].map((path) => join(place, path));
  mkdirSync(folder);
  mkdirSync(target);
  for (let at = 0; at < files; at++) {
    const directory = join(folder, `d${at % DIRECTORIES}`);
    if (at < DIRECTORIES) mkdirSync(directory);
    writeFileSync(join(directory, `f${at}`), randomBytes(FILE_BYTES));
  }
  writeFileSync(large, randomBytes(megabytes * 1_000_000));
  const { save, restore } = programs[name](place);
  const row = (what, command) => rows.set(what, [...(rows.get(what) ?? []), { name, ...timed(command) }]);
  row(`first run: ${files} files of ${FILE_BYTES / 1_000} kB, one of ${megabytes} MB`, save(folder));
  row("nothing changed", save(folder));
  writeFileSync(join(folder, "d1", "f1"), randomBytes(FILE_BYTES));
  row("one small file changed", save(folder));
  writeFileSync(large, Buffer.concat([Buffer.from("!"), readFileSync(large)]));
  row("a byte inserted into the large file", save(folder));
  row("everything restored", restore(target));
  const stored = Number(run("du", ["-sb", join(place, "store")]).split("\t")[0]);
  rows.set("stored, MB", [...(rows.get("stored, MB") ?? []), { name, s: stored / 1e6, cpu: 0, mib: 0 }]);
  run("umount", [place]);
  space.mounts.delete(place);
}

/** Seconds, processor seconds, and the most memory. */
function timed(command) {
  const { status, stderr } = spawnSync(TIME, ["-f", "%e %U %S %M", ...command], { env, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command.join(" ")}\n${stderr}`);
  const [s, user, system, kib] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  return { s, cpu: user + system, mib: kib / 1_024 };
}

function done({ status, stdout, stderr }) {
  if (status !== 0) throw new Error(String(stderr));
  return stdout;
}
