/**
 * `syncline webdav` beside Apache's mod_dav on the same disk, by turns in one run, each asked by curl on one connection: a listing,
 * small files, a large one up and down, a folder renamed. Client and servers share the processors, so the servers' CPU seconds stand
 * beside the wall clock. Ratios are ours to Apache's, the larger the better.
 *   node scripts/benches/webdav.mjs [--runs 5] [--files 10000] [--mib 256]
 * Needs curl, and Debian's apache2-bin.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { randomBytes } from "node:crypto";
import { check, join, kill, percentile, report, rssMiB, run, syncline, until, workspace } from "../drills/lib.ts";

const option = (name, standard) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? standard : Number(process.argv[at + 1]);
};
const runs = option("runs", 5);
const files = option("files", 10_000);
const mib = option("mib", 256);
const SMALL_BYTES = 4_096;
const SMALL_PUTS = Math.min(files, 1_000);
const WARM_UP = 10;
const MODULES = "/usr/lib/apache2/modules";

const space = workspace("bench-webdav");
chmodSync(space.path, 0o711);
const large = join(space.path, "large");
writeFileSync(large, Buffer.concat(Array.from({ length: mib }, () => randomBytes(1 << 20))));
const small = join(space.path, "small");
mkdirSync(small);
for (let index = 1; index <= files; index++) writeFileSync(join(small, `file-${index}`), randomBytes(SMALL_BYTES));

const servers = [await apache(), ours()];
const rows = new Map();
for (const { at } of servers) {
  curl("-X", "MKCOL", `${at}folder/`);
  upload(at, "folder", files);
}
// A server that runs for long has listed folders before.
for (let listing = 0; listing < WARM_UP; listing++) for (const { at } of servers) listed(at);
for (let round = 0; round < runs; round++) {
  for (const server of servers) {
    server.settle();
    measure(server, "PROPFIND", () => listed(server.at));
    measure(server, "MOVE of a folder", () => moved(server.at));
    curl("-X", "MKCOL", `${server.at}small-${round}/`);
    measure(server, "small PUT", () => upload(server.at, `small-${round}`, SMALL_PUTS));
    measure(server, "large PUT", () => curl("-T", large, `${server.at}large`));
    measure(server, "large GET, just written", () => curl(`${server.at}large`));
    server.settle();
    measure(server, "large GET, published", () => curl(`${server.at}large`));
    curl("-X", "DELETE", `${server.at}small-${round}/`);
  }
}
const TARGETS = {
  PROPFIND: 0.5,
  "small PUT": 0.4,
  "large PUT": 0.7,
  "large GET, just written": 0.4,
  "large GET, published": 0.4,
};
const misses = [];
for (const [row, values] of rows) {
  const [theirs, own] = servers.map(({ name }) => middle(values[name]));
  const ratio = round3(theirs.s / own.s);
  const target = TARGETS[row];
  if (target !== undefined && ratio < target) misses.push(row);
  report(JSON.stringify({ row, apache: theirs, syncline: own, ratio, ...(target === undefined ? {} : { target }) }));
}
const move = middle(rows.get("MOVE of a folder").syncline).s * 1_000;
const { pid } = servers[1];
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
report(JSON.stringify({ row: "memory, MiB", now: round3(rssMiB(pid)), peak: round3(peak), target: 200 }));
if (move > 10) misses.push(`MOVE of a folder: ${round3(move)} ms of 10`);
if (rssMiB(pid) > 200) misses.push("memory");
for (const server of servers) await server.stop();
report(misses.length === 0 ? "all targets are met" : `missed: ${misses.join(", ")}`);

function measure(server, row, work) {
  const before = server.cpu();
  const s = work();
  const values = rows.get(row) ?? Object.fromEntries(servers.map(({ name }) => [name, []]));
  rows.set(row, values);
  values[server.name].push({ s, cpu: server.cpu() - before });
}

function middle(values) {
  return {
    s: round3(
      percentile(
        values.map(({ s }) => s),
        0.5,
      ),
    ),
    cpu: round3(
      percentile(
        values.map(({ cpu }) => cpu),
        0.5,
      ),
    ),
  };
}

/** Seconds that one request took, or many on one connection. */
function curl(...args) {
  const out = run("curl", ["-sS", "-f", "-o", "/dev/null", "-w", "%{time_total} ", ...args]);
  return out
    .trim()
    .split(" ")
    .reduce((sum, seconds) => sum + Number(seconds), 0);
}

function upload(at, folder, count) {
  return curl("-T", join(small, `file-[1-${count}]`), `${at}${folder}/`);
}

function listed(at) {
  const props = ["resourcetype", "getcontentlength", "getlastmodified", "getetag", "creationdate"];
  const body = `<propfind xmlns="DAV:"><prop>${props.map((name) => `<${name}/>`).join("")}</prop></propfind>`;
  return curl("-X", "PROPFIND", "-H", "Depth: 1", "-H", "Content-Type: application/xml", "-d", body, `${at}folder/`);
}

function moved(at) {
  const there = curl("-X", "MOVE", "-H", `Destination: ${at}moved/`, `${at}folder/`);
  curl("-X", "MOVE", "-H", `Destination: ${at}folder/`, `${at}moved/`);
  return there;
}

function ours() {
  const url = `file://${join(space.path, "bucket")}`;
  syncline(space, ["init", url]);
  const args = ["webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--background", "--json"];
  const { webdav, pid: agent } = syncline(space, args).json();
  space.pids.add(agent);
  return {
    name: "syncline",
    at: webdav,
    pid: agent,
    // Publishing belongs to the work before.
    settle: () => void syncline(space, ["flush"]),
    cpu: () => cpuSeconds(agent),
    async stop() {
      syncline(space, ["unmount", "webdav://127.0.0.1:0"]);
      space.pids.delete(agent);
    },
  };
}

/** An Apache of its own: nothing of the machine's configuration is read or changed. */
async function apache() {
  check(existsSync(join(MODULES, "mod_dav_fs.so")), "Apache is there (Debian: apt-get install apache2-bin)");
  const root = join(space.path, "apache");
  const docs = join(root, "docs");
  const port = await freePort();
  for (const folder of [root, docs, join(root, "locks")]) {
    mkdirSync(folder);
    if (process.getuid() === 0) run("chown", ["www-data:www-data", folder]);
  }
  const modules = { mpm_event_module: "mod_mpm_event", authz_core_module: "mod_authz_core", dav_module: "mod_dav" };
  const more = { dav_fs_module: "mod_dav_fs", dav_lock_module: "mod_dav_lock" };
  const conf = join(root, "apache.conf");
  const lines = [
    ...Object.entries({ ...modules, ...more }).map(([name, file]) => `LoadModule ${name} ${MODULES}/${file}.so`),
    `ServerRoot ${root}`,
    `Listen 127.0.0.1:${port}`,
    "ServerName 127.0.0.1",
    ...(process.getuid() === 0 ? ["User www-data", "Group www-data"] : []),
    `PidFile ${root}/pid`,
    `ErrorLog ${root}/log`,
    `Mutex file:${root}/locks`,
    `DocumentRoot ${docs}`,
    `DavLockDB ${root}/locks/db`,
    "KeepAlive On",
    "MaxKeepAliveRequests 0",
    "EnableSendfile On",
    "<Directory />\nRequire all granted\nDav On\n</Directory>",
  ];
  writeFileSync(conf, `${lines.join("\n")}\n`);
  const child = spawn("apache2", ["-f", conf, "-DFOREGROUND"], { stdio: ["ignore", "ignore", "inherit"] });
  space.pids.add(child.pid);
  const at = `http://127.0.0.1:${port}/`;
  await until(() => spawnSync("curl", ["-s", "-o", "/dev/null", at]).status === 0, 30_000, "Apache", 50);
  return {
    name: "apache",
    at,
    settle: () => {},
    cpu: () => family(child.pid).reduce((sum, pid) => sum + cpuSeconds(pid), 0),
    async stop() {
      kill(child.pid, "SIGTERM");
      await once(child, "exit");
      space.pids.delete(child.pid);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** One that nobody has now: Apache cannot ask for any. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function family(parent) {
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && statOf(name)?.[1] === String(parent));
  return [parent, ...children.map(Number)];
}

/** Fields of /proc/PID/stat behind the name (proc(5)): state, parent, … */
function statOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}

/** User and system time, in ticks of 10 ms. */
function cpuSeconds(pid) {
  const stat = statOf(pid) ?? [];
  return (Number(stat[11] ?? 0) + Number(stat[12] ?? 0)) / 100;
}

function round3(value) {
  return Number(value.toPrecision(3));
}
