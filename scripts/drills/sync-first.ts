/**
 * A folder of many real files goes up, and comes down in a second folder: names, types, modes, mtimes and contents (SHA-256) are the same.
 *   node scripts/drills/sync-first.ts [FILES, default 10000]
 */
import { createHash, randomBytes } from "node:crypto";
import {
  linkSync,
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import type { SyncReport } from "../../src/sync/report.ts";
import { check, join, mkdirSync, report, syncline, workspace } from "./lib.ts";

const files = Number(process.argv[2] ?? 10_000);
const space = workspace("sync-first");
const url = `file://${join(space.path, "bucket")}`;
const [one, other] = [join(space.path, "one"), join(space.path, "other")];
for (const folder of [one, other]) mkdirSync(folder);
syncline(space, ["init", url]);
fill(one);
const up = timed(() => syncline(space, ["sync", url, one, "--once", "--json"]).json<SyncReport>());
report(`${up.value.sent.added} objects up in ${up.seconds} s`);
const down = timed(() => syncline(space, ["sync", url, other, "--once", "--json"]).json<SyncReport>());
report(`${down.value.received.files} files down in ${down.seconds} s`);
const [first, second] = [census(one), census(other)];
const differing = [...new Set([...first.keys(), ...second.keys()])].filter(
  (path) => first.get(path) !== second.get(path),
);
for (const path of differing.slice(0, 5)) report(`${path}: ${first.get(path)} / ${second.get(path)}`);
check(differing.length === 0, `${first.size} names are the same in both folders`);
const again = timed(() => syncline(space, ["sync", url, other, "--once", "--json"]).json<SyncReport>());
const { sent, received } = again.value;
const rest = sent.added + sent.changed + sent.moved + sent.deleted + received.files + received.removed;
check(rest === 0, `a second pass finds nothing to do, in ${again.seconds} s`);

function fill(folder: string): void {
  for (let index = 0; index < files; index++) {
    const directory = join(folder, `d${index % 10}`, `sub ${Math.floor(index / 10) % 10}`);
    mkdirSync(directory, { recursive: true });
    const path = join(directory, `file ${index}.bin`);
    writeFileSync(path, randomBytes([0, 20, 600, 4_000, 9_000][index % 5] ?? 0));
    if (index % 7 === 0) chmodSync(path, 0o640 + (index % 2) * 0o111);
    if (index % 100 === 0) symlinkSync(`../nowhere ${index}`, `${path} link`);
    if (index % 250 === 0) linkSync(path, `${path} hard`);
  }
  writeFileSync(join(folder, "large.bin"), randomBytes(3_000_000));
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/not utf-8 `), Buffer.from([0xff, 0xfe])]), "bytes");
  mkdirSync(join(folder, "empty"), { mode: 0o750 });
}

function census(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (path: Buffer, name: string) => {
    const stat = lstatSync(path, { bigint: true });
    const facts = [stat.mode.toString(8), stat.isDirectory() ? "" : String(stat.mtimeNs), String(stat.nlink)];
    if (stat.isSymbolicLink()) facts.push(readlinkSync(path));
    if (stat.isFile()) facts.push(createHash("sha256").update(readFileSync(path)).digest("hex"));
    if (name !== "") found.set(name, facts.join(" "));
    if (!stat.isDirectory()) return;
    for (const entry of readdirSync(path, { encoding: "buffer" })) {
      if (name === "" && entry.toString() === ".syncline") continue;
      visit(Buffer.concat([path, Buffer.from("/"), entry]), `${name}/${entry.toString("latin1")}`);
    }
  };
  visit(Buffer.from(folder), "");
  return found;
}

function timed<Value>(work: () => Value) {
  const began = performance.now();
  const value = work();
  return { value, seconds: ((performance.now() - began) / 1000).toFixed(1) };
}
