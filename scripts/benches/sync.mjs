/**
 * Folder sync beside Syncthing and Unison, by turns, two folders of this machine each: the first sync of many files, the time from a change
 * to its arrival, and versions that are lost where both folders change the same files at once. Prints a line and a JSON line a row.
 *   node scripts/benches/sync.mjs [--runs 3] [--files 10000] [--changes 50] [--only syncline | syncthing | unison | unison-machines]
 *
 * Syncline goes through a bucket in a folder, an agent for each folder. Syncthing: two instances on loopback, without discovery, relays or
 * upgrades. Unison: one process from folder to folder, as on one machine; and two with a socket between them, as for two machines. Both look
 * again every second.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { checkout, join, mkdirSync, percentile, report, run, syncline, until, workspace } from "../drills/lib.ts";

const args = process.argv.slice(2);
const option = (name, fallback) => (args.includes(name) ? args[args.indexOf(name) + 1] : fallback);
const runs = Number(option("--runs", 3));
const files = Number(option("--files", 10_000));
const changes = Number(option("--changes", 50));
const BOTH_EDITED = 20;
const PATIENCE_MS = 600_000;
/** What belongs to a sync program. */
const OF_A_PROGRAM = /^\.(syncline|stfolder|stversions|unison\.)|^\.syncthing\./;
const space = workspace("bench-sync");
const peers = {
  syncline: startSyncline,
  syncthing: startSyncthing,
  unison: startUnison,
  "unison-machines": startUnisonMachines,
};
const names = Object.keys(peers).filter((name) => [name, undefined].includes(option("--only")) && isThere(name));
const rows = new Map(names.map((name) => [name, { first: [], arrival: [], lost: 0, versions: 0 }]));

for (let turn = 0; turn < runs; turn++)
  for (const name of names) await measure(name, join(space.path, `${name}-${turn}`));
for (const [name, { first, arrival, lost, versions }] of rows) {
  const [p50, p99] = [0.5, 0.99].map((part) => Math.round(percentile(arrival, part)));
  const firstS = Number(percentile(first, 0.5).toFixed(1));
  report(
    `${name}: ${files} files in ${firstS} s, a change in ${p50} ms (p99 ${p99}), ${lost} of ${versions} versions lost`,
  );
  report(JSON.stringify({ bench: "sync", name, files, runs, firstS, p50Ms: p50, p99Ms: p99, lost, versions }));
}

async function measure(name, home) {
  const [one, other] = ["one", "other"].map((folder) => join(home, folder));
  for (const folder of [home, one, other]) mkdirSync(folder);
  fill(one);
  const row = rows.get(name);
  const began = performance.now();
  const children = await peers[name](home, one, other);
  try {
    await until(() => countOf(other) === files, PATIENCE_MS, `${name}'s first sync`, 50);
    row.first.push((performance.now() - began) / 1000);
    for (let each = 0; each < changes; each++) {
      const text = `change ${each}`;
      const written = performance.now();
      writeFileSync(join(one, "d0", "changing"), text);
      await until(() => textOf(join(other, "d0", "changing")) === text, PATIENCE_MS, `${name}'s change`, 2);
      row.arrival.push(performance.now() - written);
    }
    const versions = [];
    for (let each = 0; each < BOTH_EDITED; each++) {
      for (const folder of [one, other]) {
        versions.push(`version ${versions.length} of ${name}`);
        writeFileSync(join(folder, "d1", `file ${each * 10 + 1}.bin`), versions.at(-1));
      }
    }
    await atRest(one, other);
    const left = new Set(
      [one, other].flatMap((folder) => [...treeOf(folder).keys()].map((path) => textOf(join(folder, path)))),
    );
    row.versions += versions.length;
    row.lost += versions.filter((version) => !left.has(version)).length;
  } finally {
    for (const child of children) await stop(child);
  }
}

function fill(folder) {
  for (let index = 0; index < files; index++) {
    const directory = join(folder, `d${index % 10}`);
    if (index < 10) mkdirSync(directory);
    writeFileSync(join(directory, `file ${index}.bin`), randomBytes([20, 600, 4_000, 9_000][index % 4]));
  }
}

async function startSyncline(home, one, other) {
  const url = `file://${join(home, "bucket")}`;
  syncline(space, ["init", url]);
  return [one, other].map((folder) =>
    begin(process.execPath, [join(checkout, "dist/main.js"), "sync", url, folder], home),
  );
}

async function startSyncthing(home, one, other) {
  const devices = [];
  for (const folder of [one, other]) {
    const state = `${folder}-state`;
    run("syncthing", ["generate", "--home", state, "--no-default-folder", "--skip-port-probing"], { env: space.env });
    const id = run("syncthing", ["--home", state, "--device-id"], { env: space.env }).trim();
    devices.push({ folder, state, id, port: await freePort() });
  }
  const known = devices.map(
    ({ id, port }) => `<device id="${id}" name="${port}"><address>tcp://127.0.0.1:${port}</address></device>`,
  );
  for (const { folder, state, port } of devices) {
    const members = devices.map(({ id }) => `<device id="${id}"/>`).join("");
    const quiet = [
      "globalAnnounceEnabled",
      "localAnnounceEnabled",
      "relaysEnabled",
      "natEnabled",
      "startBrowser",
      "crashReportingEnabled",
    ];
    const options = [
      `<listenAddress>tcp://127.0.0.1:${port}</listenAddress>`,
      ...quiet.map((name) => `<${name}>false</${name}>`),
      "<urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH>",
    ].join("");
    const shared = `<folder id="bench" path="${folder}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="1">${members}<maxConflicts>-1</maxConflicts></folder>`;
    const config = `<configuration version="36">${shared}${known.join("")}<gui enabled="false"/><options>${options}</options></configuration>`;
    writeFileSync(join(state, "config.xml"), config);
  }
  return devices.map(({ state }) =>
    begin("syncthing", ["serve", "--home", state, "--no-browser", "--no-restart", "--no-upgrade"], home),
  );
}

async function startUnison(home, one, other) {
  return [beginUnison(home, one, other)];
}

async function startUnisonMachines(home, one, other) {
  const port = await freePort();
  const env = { UNISON: join(home, "unison-server") };
  mkdirSync(env.UNISON);
  const server = begin("unison", ["-socket", `${port}`, "-listen", "127.0.0.1"], home, env);
  await until(() => output(home).includes("server started"), PATIENCE_MS, "unison's server", 5);
  return [beginUnison(home, one, `socket://127.0.0.1:${port}/${other}`), server];
}

function beginUnison(home, one, other) {
  const env = { UNISON: join(home, "unison") };
  mkdirSync(env.UNISON);
  // Of a conflict it keeps what it does not take as a copy.
  const words = [
    one,
    other,
    "-batch",
    "-auto",
    "-repeat",
    "1",
    "-prefer",
    "newer",
    "-copyonconflict",
    "-logfile",
    join(home, "log"),
  ];
  return begin("unison", words, home, env);
}

function begin(command, words, home, env = {}) {
  const child = spawn(command, words, { env: { ...space.env, ...env, HOME: home }, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data) => appendFileSync(join(home, "output"), data));
  child.ended = new Promise((done) => child.once("close", done));
  space.pids.add(child.pid);
  return child;
}

function output(home) {
  return textOf(join(home, "output")) ?? "";
}

async function stop(child) {
  child.kill("SIGTERM");
  await child.ended;
  space.pids.delete(child.pid);
}

/** Both folders are the same, and stay so for as long as a scan is away. */
async function atRest(one, other) {
  let [last, since] = ["", performance.now()];
  await until(
    () => {
      const trees = [one, other].map((folder) =>
        JSON.stringify([...treeOf(folder).keys()].map((path) => [path, textOf(join(folder, path))])),
      );
      if (trees[0] !== trees[1] || trees[0] !== last) [last, since] = [trees[0], performance.now()];
      return performance.now() - since > 5_000;
    },
    PATIENCE_MS,
    "both folders to be the same",
    500,
  );
}

/** How many files there are. Looked at all the time while a first sync is measured on the same cores: it has to be cheap. */
function countOf(folder) {
  let count = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (OF_A_PROGRAM.test(entry.name)) continue;
    count += entry.isDirectory() ? countOf(join(folder, entry.name)) : 1;
  }
  return count;
}

/** Files by their paths. */
function treeOf(folder) {
  const found = new Map();
  const visit = (at, prefix) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (OF_A_PROGRAM.test(entry.name)) continue;
      if (entry.isDirectory()) visit(join(at, entry.name), `${prefix}${entry.name}/`);
      else found.set(prefix + entry.name, true);
    }
  };
  visit(folder, "");
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Undefined for a file that is not there: a peer that replaces one may take the old one away first. */
function textOf(path) {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  }
}

function isThere(name) {
  const [program] = name.split("-");
  if (name === "syncline" || spawnSync(program, [program === "unison" ? "-version" : "--version"]).error === undefined)
    return true;
  report(`${name} is not installed: left out`);
  return false;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}
