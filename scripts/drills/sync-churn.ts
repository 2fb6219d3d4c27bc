/**
 * Three synced folders are edited at random at once; one of them is offline half of the time, and agents are killed in between. Then all
 * come to one tree: no version is lost, and none comes back that somebody wrote over.
 *   node scripts/drills/sync-churn.ts [SECONDS, default 60] [SEED, default the time]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { linkSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { failedWith } from "../../src/base/system-errors.ts";
import type { HeldDeletions } from "../../src/sync/deletion-limit.ts";
import { check, checkout, join, mkdirSync, pause, pidOf, randomOf, report, syncline, until, workspace } from "./lib.ts";

interface Folder {
  readonly name: string;
  readonly path: string;
  child?: ChildProcess;
  ended?: Promise<unknown>;
}

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? Date.now());
const space = workspace("sync-churn");
const url = `file://${join(space.path, "bucket")}`;
report(`seed ${seed}, ${seconds} s, in ${space.path}`);
syncline(space, ["init", url]);
const random = randomOf(seed);
const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? "";
const folders = ["a", "b", "c"].map((name): Folder => ({ name, path: join(space.path, name) }));
for (const { path } of folders) {
  mkdirSync(path);
  // What is on its way out of a folder's sight is nobody's action yet.
  writeFileSync(join(path, ".synclineignore"), "*.aside\n");
}
/** Version → whether somebody wrote over it or deleted it, and whether it was ever moved or copied by a merge. */
const versions = new Map<string, Set<string>>();
const count = { actions: 0, kills: 0, absences: 0 };

const end = performance.now() + seconds * 1000;
await Promise.all([...folders.map(edit), ...folders.map(keepRunning)]);
for (const folder of folders) await stop(folder, "SIGTERM");
report(`${count.actions} actions, ${count.kills} kills, ${count.absences} absences`);
await until(
  () => {
    for (const { path } of folders) syncOnce(path);
    const [first, ...others] = folders.map(({ path }) => JSON.stringify(contents(path)));
    return others.every((other) => other === first);
  },
  180_000,
  "all folders to be the same",
);
const tree = contents(join(space.path, "a"));
for (const [path, text] of tree) if (path.includes("(conflict ")) versions.get(text)?.add("copied");
const present = new Set(tree.map(([, text]) => text));
const lost = [...versions].filter(([version, fate]) => !fate.has("gone") && !present.has(version));
const back = [...versions].filter(([version, fate]) => fate.has("gone") && fate.size === 1 && present.has(version));
check(
  lost.length === 0,
  `no version lost: ${versions.size} were written${lost.slice(0, 5).map(([each]) => `, ${each}`)}`,
);
check(back.length === 0, `nothing came back${back.slice(0, 5).map(([each]) => `, ${each}`)}`);
syncline(space, ["get", "-r", url, join(space.path, "got")]);
const got = JSON.stringify(contents(join(space.path, "got")));
check(got === JSON.stringify(tree), `the bucket has the same ${tree.length} files`);
check(syncline(space, ["verify", url, "--json"], { expect: [0, 8] }).status === 0, "verify finds nothing");

/** On a machine with much else to do, who is away much deletes so much before a pass comes to its end that it waits for approval. */
function syncOnce(path: string) {
  const pass = syncline(space, ["sync", url, path, "--once", "--json"], { expect: [0, 3, 7] });
  if (pass.status !== 7) return;
  const { digest, files, where } = pass.json<{ guard: HeldDeletions }>().guard;
  report(`${files} deletions in the ${where} are meant: they were made one by one`);
  syncline(space, ["sync", url, path, "--once", "--allow-deletes", digest], { expect: [0, 3] });
}

async function edit({ path }: Folder) {
  while (performance.now() < end) {
    await pause(random() * 120);
    try {
      action(path);
      count.actions++;
    } catch (error) {
      // Sync did something to the same name in between, which is what it is there for.
      if (!failedWith(error, "ENOENT", "EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR")) throw error;
    }
  }
}

function action(path: string): void {
  const names = contents(path)
    .map(([name]) => name)
    .filter((name) => !name.startsWith(".syncline"));
  const directory = pick(["", "d1/", "d2/", "d2/deep/"]);
  const free = `${directory}f${Math.floor(random() * 12)}.bin`;
  const what = random();
  if (directory !== "") mkdirSync(join(path, directory), { recursive: true });
  if (names.length === 0 || what < 0.35) return place(path, free, written(path));
  const name = pick(names);
  if (what < 0.65) {
    take(path, name, "gone");
    return place(path, name, written(path));
  }
  if (what < 0.75) return take(path, name, "gone");
  // A rename survives another's delete.
  const text = readFileSync(join(path, name), "utf8");
  linkSync(join(path, name), join(path, free));
  unlinkSync(join(path, name));
  versions.get(text)?.add("moved");
}

interface Written {
  readonly aside: string;
  readonly version: string;
}

/** A file that no scan sees yet, with a version that nobody wrote before. */
function written(path: string): Written {
  const aside = join(path, `${Math.floor(random() * 1e12)}.aside`);
  const version = `version ${versions.size}`;
  versions.set(version, new Set(["unplaced"]));
  writeFileSync(aside, version);
  return { aside, version };
}

/** Under its name, if that is free: nothing is written over unseen. */
function place(path: string, name: string, { aside, version }: Written) {
  try {
    linkSync(aside, join(path, name));
    versions.set(version, new Set());
  } catch (error) {
    versions.delete(version);
    versions.set(version, new Set(["gone"]));
    throw error;
  } finally {
    unlinkSync(aside);
  }
}

/** What is taken is looked at when it is out of everybody's hands. */
function take(path: string, name: string, fate: string) {
  const aside = join(path, `${Math.floor(random() * 1e12)}.aside`);
  renameSync(join(path, name), aside);
  versions.get(readFileSync(aside, "utf8"))?.add(fate);
  unlinkSync(aside);
}

async function keepRunning(folder: Folder) {
  const isAway = folder.name === "c";
  while (performance.now() < end) {
    launch(folder);
    await pause(Math.min(3_000 + random() * 6_000, Math.max(0, end - performance.now())));
    if (performance.now() >= end) return;
    await stop(folder, "SIGKILL");
    count.kills++;
    if (isAway) await pause(3_000 + random() * 6_000);
    if (isAway) count.absences++;
  }
}

function launch(folder: Folder) {
  const child = spawn(process.execPath, [join(checkout, "dist/main.js"), "sync", url, folder.path], {
    env: space.env,
    stdio: "ignore",
  });
  space.pids.add(pidOf(child));
  folder.child = child;
  folder.ended = new Promise((done) => child.once("close", done));
}

async function stop({ child, ended }: Folder, signal: NodeJS.Signals) {
  if (child === undefined) return;
  child.kill(signal);
  await ended;
  space.pids.delete(pidOf(child));
}

/** Every file's path and text, without the folder's own. */
function contents(folder: string) {
  const found: [string, string | undefined][] = [];
  const visit = (at: string, prefix: string) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (prefix === "" && entry.name === ".syncline") continue;
      if (entry.name.endsWith(".aside")) continue;
      const path = join(at, entry.name);
      if (entry.isDirectory()) visit(path, `${prefix}${entry.name}/`);
      else if (entry.isFile()) found.push([prefix + entry.name, textOf(path)]);
    }
  };
  visit(folder, "");
  return found
    .filter((file): file is [string, string] => file[1] !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

function textOf(path: string) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
    return undefined;
  }
}
