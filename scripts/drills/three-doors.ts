/**
 * A mount, a client of WebDAV and a synced folder on one bucket edit the same project at once: three agents, or with --one all three doors
 * of one agent. Then all show one tree, each version that somebody saved and nobody replaced is there, and none came back.
 *   node scripts/drills/three-doors.ts [SECONDS, default 300] [SEED, default the time] [--one]
 *
 * What is replaced or deleted is first moved aside, and looked at there: so it is known which version it was.
 */
import { spawn } from "node:child_process";
import { linkSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { failedWith } from "../../src/base/system-errors.ts";
import { agent, check, checkout, join, pause, pidOf, randomOf, report, syncline, until, workspace } from "./lib.ts";

type Files = ReadonlyMap<string, string>;

/** How a door's files are reached. */
interface Way {
  list(): Promise<string[]>;
  read(name: string): Promise<string>;
  move(from: string, to: string): Promise<unknown>;
  create(name: string, text: string): Promise<unknown>;
  remove(name: string): Promise<unknown>;
  tree(): Promise<Files>;
}

interface Door extends Way {
  readonly name: string;
  close(): Promise<unknown>;
}

interface Move {
  readonly version: string | undefined;
  readonly to: string;
  readonly ms: number;
}

const given = process.argv.slice(2).filter((word) => word !== "--one");
const isOne = process.argv.includes("--one");
const seconds = Number(given[0] ?? 300);
const seed = Number(given[1] ?? Date.now());
const random = randomOf(seed);
const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? "";
const space = workspace("three-doors");
const url = `file://${join(space.path, "bucket")}`;
const folder = join(space.path, "folder");
const ASIDE = /\.aside$/;
/** Version → what became of it by somebody's will: "gone", "moved"; "failed" when it was never saved. */
const versions = new Map<string, Set<string>>();
/** Version → the name that it was made under: what several doors make under one name at once is one file (docs/reference/formats.md, Ids). */
const births = new Map<string, string>();
/** Version → the one before it under the same name in the folder, where that is an edit of the file. */
const edited = new Map<string, string | undefined>();
/** Name → the last version that the folder had under it. */
const lastInFolder = new Map<string, string>();
/** Version → when it was deleted last. */
const goneMs = new Map<string, number>();
/** Each move that was done: of which version, where to, when. */
const moves: Move[] = [];
/** Doors hear of each other's actions within this time, whatever else the machine does. */
const HEARD_MS = 15_000;

report(`seed ${seed}, ${seconds} s, ${isOne ? "one agent" : "three agents"}, in ${space.path}`);
syncline(space, ["init", url]);
mkdirSync(folder);
// What is aside in the folder is on its way out, and nobody else's.
writeFileSync(join(folder, ".synclineignore"), "*.aside\n");
const doors = await openDoors();
const count: Record<string, number> = Object.fromEntries(doors.map(({ name }) => [name, 0]));
const end = performance.now() + seconds * 1000;
await Promise.all(doors.map(edit));
report(`actions: ${doors.map(({ name }) => `${name} ${count[name]}`).join(", ")}; ${versions.size} versions`);
check(
  doors.every(({ name }) => (count[name] ?? 0) > 0),
  "all three doors were used",
);
const tree = await until(sameTree, 180_000, "all doors to show one tree", 500);
if (tree === undefined) throw new Error("the doors show no tree");
const got = join(space.path, "got");
syncline(space, ["get", "-r", url, got]);
const stored = filesIn(got);
check(same(withoutAside(stored), tree), `the bucket has the same ${tree.size} files`);
for (const [path, text] of stored) if (path.includes("(conflict ")) versions.get(text)?.add("copied");
const present = new Set(stored.values());
const lost = [...versions].filter(
  ([version, fate]) => !fate.has("gone") && !fate.has("failed") && !present.has(version),
);
const placesOf = (version: string) => [...stored].filter(([, text]) => text === version).map(([path]) => path);
const back = [...versions].filter(
  ([version, fate]) =>
    fate.has("gone") && fate.size === 1 && placesOf(version).some((path) => !wasMovedTo(version, path)),
);
check(lost.length === 0, `no version lost${lost.slice(0, 5).map(([each]) => `, ${each}`)}`);
check(back.length === 0, `nothing came back${back.slice(0, 5).map(([each]) => `, ${each} at ${placesOf(each)}`)}`);
for (const door of doors) await door.close();
check(syncline(space, ["verify", url, "--json"], { expect: [0, 8] }).status === 0, "verify finds nothing");

async function openDoors(): Promise<Door[]> {
  const more = isOne ? ["--webdav", "127.0.0.1:0", "--no-auth", "--sync", folder] : [];
  const mount = agent(space, "mount", url, { args: more });
  const served = isOne ? undefined : await serve(["webdav", url, "--listen", "127.0.0.1:0", "--no-auth"]);
  const webdav = served?.value.webdav ?? mount.status().doors.find((each) => each.door === "webdav")?.url;
  if (webdav === undefined) throw new Error("no door is WebDAV's");
  const synced = isOne ? undefined : await serve(["sync", url, folder]);
  return [
    { name: "mount", ...directory(mount.dir), close: async () => mount.unmount() },
    { name: "webdav", ...overHttp(webdav), close: async () => served?.stop() },
    { name: "folder", ...directory(folder), close: async () => synced?.stop() },
  ];
}

/** An agent in the foreground, once it says what it does. */
async function serve(words: readonly string[]) {
  const args = [join(checkout, "dist/main.js"), ...words, "--json"];
  const child = spawn(process.execPath, args, { env: space.env, stdio: ["ignore", "pipe", "ignore"] });
  space.pids.add(pidOf(child));
  const ended = new Promise((done) => child.once("close", done));
  const value = await new Promise<{ webdav?: string }>((heard, failed) => {
    createInterface({ input: child.stdout }).once("line", (line) => heard(JSON.parse(line) as { webdav?: string }));
    child.once("close", () => failed(new Error(`${words.join(" ")} ended`)));
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    space.pids.delete(pidOf(child));
  };
  return { value, stop };
}

async function edit(door: Door) {
  while (performance.now() < end) {
    await pause(random() * 150);
    if (await attempt(() => action(door))) count[door.name] = (count[door.name] ?? 0) + 1;
  }
}

/** Another door did something to the same name in between, which is what is tried here. */
async function attempt(work: () => Promise<unknown>) {
  try {
    await work();
    return true;
  } catch (error) {
    if (!failedWith(error, "ENOENT", "EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR", "refused")) throw error;
    return false;
  }
}

async function action(door: Door): Promise<void> {
  const names = (await door.list()).filter((name) => !ASIDE.test(name) && !name.startsWith(".syncline"));
  const free = `f${Math.floor(random() * 12)}.bin`;
  const what = random();
  if (names.length === 0 || what < 0.4) return place(door, free);
  const name = pick(names);
  if (what < 0.7) {
    await take(door, name);
    return place(door, name);
  }
  if (what < 0.8) return take(door, name);
  await door.move(name, free);
  // A rename survives another's delete.
  const version = await door.read(free).catch(() => undefined);
  if (version !== undefined) versions.get(version)?.add("moved");
  moves.push({ version, to: free, ms: performance.now() });
}

async function place(door: Door, name: string) {
  const version = `version ${versions.size}`;
  versions.set(version, new Set(["failed"]));
  births.set(version, name);
  if (door.name === "folder") edited.set(version, lastInFolder.get(name));
  await door.create(name, version);
  if (door.name === "folder") lastInFolder.set(name, version);
  versions.get(version)?.delete("failed");
}

async function take(door: Door, name: string) {
  const aside = `${Math.floor(random() * 1e12)}.aside`;
  await door.move(name, aside);
  const version = await door.read(aside);
  const ms = performance.now();
  moves.push({ version, to: aside, ms });
  versions.get(version)?.add("gone");
  goneMs.set(version, ms);
  if (door.name === "folder") lastInFolder.set(name, version);
  await door.remove(aside);
}

/**
 * Whether a door that saw another version of the file gave it this name while this one was deleted: a rename survives another's delete,
 * and has what was made of the file meanwhile.
 */
function wasMovedTo(version: string, path: string) {
  return moves.some(
    (move) =>
      move.to === path &&
      move.version !== undefined &&
      move.version !== version &&
      Math.abs(move.ms - (goneMs.get(version) ?? Number.NaN)) < HEARD_MS &&
      isOneFile(move.version, version),
  );
}

/** Whether both may have been versions of one file. */
function isOneFile(one: string, other: string) {
  if (births.get(one) === births.get(other)) return births.has(other);
  for (let each: string | undefined = other; each !== undefined; each = edited.get(each)) if (each === one) return true;
  return false;
}

/** What programs do in a directory. Nothing is written over unseen, and a file is there whole or not at all. */
function directory(path: string): Way {
  const at = (name: string) => join(path, name);
  return {
    list: async () => readdirSync(path),
    read: async (name) => readFileSync(at(name), "utf8"),
    move: async (from, to) => {
      linkSync(at(from), at(to));
      try {
        unlinkSync(at(from));
      } catch (error) {
        // Another door took it in between: otherwise it would stay under this name, too, and nobody would look for it there.
        unlinkSync(at(to));
        throw error;
      }
    },
    create: async (name, text) => {
      const aside = at(`${Math.floor(random() * 1e12)}.aside`);
      writeFileSync(aside, text);
      try {
        linkSync(aside, at(name));
      } finally {
        unlinkSync(aside);
      }
    },
    remove: async (name) => unlinkSync(at(name)),
    tree: async () => withoutAside(filesIn(path)),
  };
}

function overHttp(base: string): Way {
  const at = (name: string) => `${base}${name.split("/").map(encodeURIComponent).join("/")}`;
  const ask = async (method: string, name: string, options: RequestInit = {}) => {
    const answer = await fetch(at(name), { method, ...options });
    if (answer.ok) return answer;
    if (answer.status >= 500) throw new Error(`${method} ${name}: ${answer.status} ${await answer.text()}`);
    throw Object.assign(new Error(`${method} ${name}: ${answer.status}`), { code: "refused" });
  };
  const list = async () => {
    const text = await (await ask("PROPFIND", "", { headers: { depth: "1" } })).text();
    const hrefs = [...text.matchAll(/<(?:\w+:)?href>([^<]*)<\/(?:\w+:)?href>/g)].map(([, href = ""]) => href);
    return hrefs.map((href) => decodeURIComponent(href.replace(/^.*\//, ""))).filter((name) => name !== "");
  };
  const read = async (name: string) => (await ask("GET", name)).text();
  return {
    list,
    read,
    move: (from, to) => ask("MOVE", from, { headers: { destination: at(to), overwrite: "F" } }),
    create: (name, body) => ask("PUT", name, { body, headers: { "if-none-match": "*" } }),
    remove: (name) => ask("DELETE", name),
    tree: async () => {
      const names = await list();
      return withoutAside(new Map(await Promise.all(names.map(async (name) => [name, await read(name)] as const))));
    },
  };
}

async function sameTree() {
  const trees: Files[] = [];
  for (const door of doors) if (!(await attempt(async () => trees.push(await door.tree())))) return undefined;
  const [first, ...others] = trees;
  return first !== undefined && others.every((each) => same(each, first)) ? first : undefined;
}

function filesIn(path: string) {
  const names = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(names.map(({ name }) => [name, readFileSync(join(path, name), "utf8")]));
}

function withoutAside(files: Files) {
  return new Map([...files].filter(([name]) => !ASIDE.test(name) && name !== ".synclineignore"));
}

function same(one: Files, other: Files) {
  return one.size === other.size && [...one].every(([name, text]) => other.get(name) === text);
}
