/**
 * The WebDAV clients that people have, on `syncline webdav` with a password: what each of them writes is read back by its SHA-256 through
 * `syncline cat`, and what is in the bucket through each of them.
 *   node scripts/drills/webdav-clients.ts [curl|rclone|cadaver|davfs2|gvfs]
 * Says what is missing, and how to get it. davfs2 wants root, as mount(8) does.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { check, checkout, join, kill, pidOf, report, run, syncline, until, workspace } from "./lib.ts";

const PATIENCE_MS = 120_000;
const space = workspace("webdav-clients");
// davfs2 gives up root, and wants to reach its cache.
chmodSync(space.path, 0o711);
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const { password } = syncline(space, ["webdav", "password", "drill", "--json"]).json<{ password: string }>();
const up = ["webdav", url, "--listen", "127.0.0.1:0", "--background", "--json"];
const { webdav, pid } = syncline(space, up).json<{ webdav: string; pid: number }>();
space.pids.add(pid);

const big = join(space.path, "big");
const other = join(space.path, "other");
writeFileSync(big, randomBytes(3_000_000));
writeFileSync(other, randomBytes(200_000));
const LONG_AGO = new Date("2020-01-02T03:04:05Z");
utimesSync(big, LONG_AGO, LONG_AGO);
const home = join(space.path, "home");
mkdirSync(home);
writeFileSync(join(home, ".netrc"), `machine 127.0.0.1\nlogin drill\npassword ${password}\n`, { mode: 0o600 });
const env = { ...space.env, HOME: home, RCLONE_CONFIG: join(home, "rclone.conf") };

const clients = { curl, rclone, cadaver, davfs2, gvfs };
const wanted = process.argv.slice(2);
for (const name of wanted) if (!(name in clients)) throw new Error(`There is no client ${name}.`);
const left: string[] = [];
for (const [name, client] of Object.entries(clients)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const reason = await client();
  if (reason !== undefined) left.push(`${name}: ${reason}`);
}

syncline(space, ["flush"]);
syncline(space, ["unmount", "webdav://127.0.0.1:0"]);
await until(() => spawnSync("kill", ["-0", String(pid)]).status !== 0, PATIENCE_MS, "the agent's end");
space.pids.delete(pid);
check(syncline(space, ["verify", url]).status === 0, "the bucket is sound");
for (const line of left) report(`LEFT  ${line}`);

/** SHA-256 of a file in the bucket, by the command line. */
function stored(path: string): string {
  syncline(space, ["flush"]);
  const main = join(checkout, "dist/main.js");
  const { status, stdout } = spawnSync(process.execPath, [main, "cat", `${url}/${path}`], {
    env: space.env,
    maxBuffer: 1 << 28,
  });
  return status === 0 ? sha(stdout) : `none (status ${status})`;
}

function sha(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function shaOf(path: string): string {
  return existsSync(path) ? sha(readFileSync(path)) : "none";
}

function same(path: string, file: string, claim: string): void {
  check(stored(path) === shaOf(file), claim);
}

function missing(command: string, debian: string): string | undefined {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0
    ? undefined
    : `missing: apt-get install ${debian}`;
}

async function curl(): Promise<string | undefined> {
  const lacks = missing("curl", "curl");
  if (lacks !== undefined) return lacks;
  const call = (...args: string[]) => spawnSync("curl", ["-s", "-n", ...args], { env, maxBuffer: 1 << 28 });
  const status = (...args: string[]) => Number(call("-o", "/dev/null", "-w", "%{http_code}", ...args).stdout);
  const at = `${webdav}curl/`;
  check(status("-X", "MKCOL", at) === 201 && status("-T", big, `${at}big`) === 201, "curl: uploads");
  same("curl/big", big, "curl: what it uploaded is in the bucket");
  const part = call("-r", "1000-1999", `${at}big`).stdout;
  check(part.equals(readFileSync(big).subarray(1_000, 2_000)), "curl: a range");
  const parts = call("-r", "0-9,2000000-2000009", `${at}big`).stdout;
  check(parts.includes(readFileSync(big).subarray(2_000_000, 2_000_010)), "curl: several ranges");

  const etag = /^etag: (.*)\r$/im.exec(String(call("-I", `${at}big`).stdout))?.[1] ?? "";
  const resumed = join(space.path, "resumed");
  writeFileSync(resumed, readFileSync(big).subarray(0, 1_234_567));
  call("-C", "-", "-H", `If-Range: ${etag}`, "-o", resumed, `${at}big`);
  check(shaOf(resumed) === shaOf(big), "curl: a download goes on where it broke off");
  const broken = spawn("curl", ["-s", "-n", "-T", big, "--limit-rate", "50k", `${at}big2`], { env, stdio: "ignore" });
  const over = spawn("curl", ["-s", "-n", "-T", other, "--limit-rate", "5k", `${at}big`], { env, stdio: "ignore" });
  await new Promise((next) => setTimeout(next, 2_000));
  for (const upload of [broken, over]) {
    kill(pidOf(upload));
    if (upload.exitCode === null) await once(upload, "exit");
  }
  check(
    status(`${at}big2`) === 404 && stored("curl/big") === shaOf(big),
    "curl: an upload that breaks off changes nothing",
  );
  check(status("-T", other, `${at}big`) === 204, "curl: replaces");
  const stale = call("-r", "100-", "-H", `If-Range: ${etag}`, "-w", "%{http_code}", "-o", resumed, `${at}big`);
  check(String(stale.stdout) === "200" && shaOf(resumed) === shaOf(other), "curl: what was replaced is not resumed");
  check(status("-T", big, "-H", `If-Match: ${etag}`, `${at}big`) === 412, "curl: nobody replaces what he did not see");
  same("curl/big", other, "curl: the last version is in the bucket");
  return undefined;
}

async function rclone(): Promise<string | undefined> {
  const lacks = missing("rclone", "rclone");
  if (lacks !== undefined) return lacks;
  const source = join(space.path, "rclone-source");
  mkdirSync(join(source, "sub folder"), { recursive: true });
  cpSync(big, join(source, "big"), { preserveTimestamps: true });
  writeFileSync(join(source, "sub folder", "ünï #%&+;?.txt"), "odd\n");
  writeFileSync(join(source, "empty"), "");
  for (let index = 0; index < 40; index++) writeFileSync(join(source, `small-${index}`), `${index}\n`);
  for (const vendor of ["other", "owncloud", "nextcloud"]) {
    const remote = `drill-${vendor}`;
    const settings = [`url=${webdav}`, `vendor=${vendor}`, "user=drill", `pass=${password}`];
    run("rclone", ["config", "create", remote, "webdav", ...settings, "--obscure"], { env });
    const at = `${remote}:rclone-${vendor}`;
    const sync = () => {
      const { status, stderr } = spawnSync("rclone", ["sync", source, at, "-v", "--stats", "0"], { env });
      return { status, copied: String(stderr).match(/: Copied/g)?.length ?? 0, said: String(stderr) };
    };
    const first = sync();
    check(first.status === 0 && first.copied === 43, `rclone (${vendor}): sync brings 43 files`);
    same(`rclone-${vendor}/big`, big, `rclone (${vendor}): what it brought is in the bucket`);
    check(sync().copied === 0, `rclone (${vendor}): a second sync moves nothing`);
    const entries = JSON.parse(run("rclone", ["lsjson", at], { env })) as { Name: string; ModTime: string }[];
    const listed = entries.find(({ Name }) => Name === "big");
    if (listed === undefined) throw new Error(`${at} has no "big"`);
    const isKept = Date.parse(listed.ModTime) === LONG_AGO.getTime();
    check(isKept === (vendor !== "other"), `rclone (${vendor}): times are ${isKept ? "kept" : "those of the upload"}`);
    const download = spawnSync("rclone", ["check", source, at, "--download"], { env });
    check(download.status === 0, `rclone (${vendor}): check --download finds all as it is`);
    writeFileSync(join(source, "small-7"), `changed for ${vendor}\n`);
    const small = join(source, "small-0");
    renameSync(small, join(space.path, "small-0"));
    check(sync().copied === 1, `rclone (${vendor}): what changed is brought, and nothing else`);
    check(stored(`rclone-${vendor}/small-0`).startsWith("none"), `rclone (${vendor}): what is gone goes`);
    renameSync(join(space.path, "small-0"), small);
    // Equal sizes: who keeps times sees it.
    writeFileSync(small, "7\n");
    utimesSync(small, LONG_AGO, LONG_AGO);
    sync();
    writeFileSync(small, "8\n");
    const copied = sync().copied;
    check(copied === (vendor === "other" ? 0 : 1), `rclone (${vendor}): ${copied} of 1 changes of equal size are seen`);
  }
  await rcloneMount();
  return undefined;
}

async function rcloneMount(): Promise<void> {
  const dir = join(space.path, "rclone-mount");
  mkdirSync(dir);
  const options = ["--vfs-cache-mode", "writes", "--vfs-write-back", "1s", "--dir-cache-time", "1s"];
  const cache = ["--cache-dir", join(space.path, "rclone-cache")];
  const mount = spawn("rclone", ["mount", "drill-owncloud:", dir, ...options, ...cache], { env, stdio: "ignore" });
  const served = pidOf(mount);
  space.pids.add(served);
  space.mounts.add(dir);
  await mounted(dir);
  await editTree(dir, "rclone mount", "rclone-mounted");
  run("umount", [dir]);
  space.mounts.delete(dir);
  if (mount.exitCode === null) await once(mount, "exit");
  space.pids.delete(served);
}

async function mounted(dir: string): Promise<void> {
  await until(() => readFileSync("/proc/mounts", "utf8").includes(` ${dir} `), PATIENCE_MS, `the mount at ${dir}`);
}

/** Writes, renames, replaces and removes on a mount of a client's, and waits until all of it has arrived. */
async function editTree(dir: string, who: string, folder: string): Promise<void> {
  const at = join(dir, folder);
  mkdirSync(join(at, "sub"), { recursive: true });
  cpSync(big, join(at, "written"));
  renameSync(join(at, "written"), join(at, "renamed"));
  cpSync(other, join(at, "sub", "draft~"));
  cpSync(big, join(at, "sub", "document"));
  renameSync(join(at, "sub", "draft~"), join(at, "sub", "document"));
  writeFileSync(join(at, "gone"), "for a moment");
  rmSync(join(at, "gone"));
  check(shaOf(join(at, "renamed")) === shaOf(big), `${who}: reads what it wrote`);
  await arrived(`${folder}/renamed`, shaOf(big), `${who}: a file that was written and renamed is in the bucket`);
  await arrived(`${folder}/sub/document`, shaOf(other), `${who}: and one that was saved over another`);
  check(stored(`${folder}/gone`).startsWith("none"), `${who}: what was removed is gone`);
}

async function arrived(path: string, expected: string, claim: string): Promise<void> {
  await until(() => stored(path) === expected, PATIENCE_MS, claim, 500);
  check(true, claim);
}

async function cadaver(): Promise<string | undefined> {
  const lacks = missing("cadaver", "cadaver");
  if (lacks !== undefined) return lacks;
  const back = join(space.path, "cadaver-back");
  const commands = [
    "mkcol cadaver",
    "cd cadaver",
    `put ${big} first`,
    `get first ${back}`,
    "move first moved",
    "copy moved copied",
    "lock copied",
    "discover copied",
    `put ${other} copied`,
    "unlock copied",
    "propset copied colour blue",
    "propget copied colour",
    "chexec + moved",
    "ls",
    "quit",
  ];
  const { status, stdout } = spawnSync("cadaver", [webdav], { env, input: `${commands.join("\n")}\n` });
  const said = String(stdout);
  if (/failed/.test(said)) report(said);
  check(
    status === 0 && !/failed/.test(said),
    "cadaver: makes, moves, copies, locks, writes what it locked, sets properties",
  );
  check(
    /Value of colour is: blue/.test(said) && /Scope: exclusive/.test(said),
    "cadaver: sees its lock and its property",
  );
  check(shaOf(back) === shaOf(big), "cadaver: reads what it wrote");
  same("cadaver/moved", big, "cadaver: what it moved is in the bucket");
  same("cadaver/copied", other, "cadaver: and what it wrote under a lock");
  return undefined;
}

async function davfs2(): Promise<string | undefined> {
  const lacks = missing("mount.davfs", "davfs2");
  if (lacks !== undefined) return lacks;
  if (process.getuid?.() !== 0) return "wants root";
  const place = (name: string) => join(space.path, name);
  const [dir, cache] = [place("davfs"), place("davfs-cache")];
  const [conf, secrets] = [place("davfs.conf"), place("davfs-secrets")];
  mkdirSync(dir);
  mkdirSync(cache);
  run("chown", ["root:davfs2", cache]);
  chmodSync(cache, 0o775);
  writeFileSync(secrets, `${webdav} drill ${password}\n`, { mode: 0o600 });
  // Linux 6.16 and later want requests of 64 KiB, and davfs2's own are smaller.
  writeFileSync(conf, `buf_size 64\ncache_dir ${cache}\nsecrets ${secrets}\nask_auth 0\ndelay_upload 0\n`);
  // What mounts stays as a process of its own, and would keep a pipe open.
  const done = spawnSync("mount.davfs", ["-o", `conf=${conf}`, webdav, dir], { stdio: "ignore", timeout: PATIENCE_MS });
  check(done.status === 0, "davfs2: mounts");
  space.mounts.add(dir);
  check(
    !existsSync(join(dir, "curl/big")) || shaOf(join(dir, "curl/big")) === shaOf(other),
    "davfs2: reads what others wrote",
  );
  await editTree(dir, "davfs2", "davfs");
  check(spawnSync("umount", [dir], { stdio: "ignore", timeout: PATIENCE_MS }).status === 0, "davfs2: unmounts");
  space.mounts.delete(dir);
  return undefined;
}

async function gvfs(): Promise<string | undefined> {
  const lacks = missing("gio", "libglib2.0-bin") ?? missing("dbus-run-session", "dbus");
  if (lacks !== undefined) return lacks;
  if (!existsSync("/usr/libexec/gvfsd-dav") && !existsSync("/usr/lib/gvfs/gvfsd-dav")) {
    return "missing: apt-get install gvfs gvfs-backends gvfs-fuse";
  }
  const at = `dav://drill@${new URL(webdav).host}/`;
  const runtime = join(space.path, "run");
  const back = join(space.path, "gvfs-back");
  mkdirSync(runtime, { mode: 0o700 });
  space.mounts.add(join(runtime, "gvfs"));
  const script = `set -e
echo "$DRILL_PASSWORD" | gio mount ${at}
gio mkdir ${at}gvfs
gio copy ${big} ${at}gvfs/big
gio copy ${at}gvfs/big ${back}
gio move ${at}gvfs/big ${at}gvfs/moved
gio rename ${at}gvfs/moved renamed
gio copy ${at}gvfs/renamed ${at}gvfs/copied
gio save ${at}gvfs/saved < ${big}
gio save ${at}gvfs/saved < ${other}
gio remove ${at}gvfs/copied
gio list ${at}gvfs
gio mount -u ${at}
`;
  const session = spawnSync("dbus-run-session", ["--", "bash", "-c", script], {
    env: { ...env, XDG_RUNTIME_DIR: runtime, XDG_DATA_HOME: join(home, "data"), DRILL_PASSWORD: password },
    encoding: "utf8",
    timeout: PATIENCE_MS,
  });
  if (session.status !== 0) report(`${session.stdout}${session.stderr}`);
  check(session.status === 0, "gvfs: mounts, copies, moves, renames, saves over, removes");
  check(/^renamed\nsaved$/m.test(session.stdout), "gvfs: lists what is there");
  check(shaOf(back) === shaOf(big), "gvfs: reads what it wrote");
  same("gvfs/renamed", big, "gvfs: what it moved is in the bucket");
  same("gvfs/saved", other, "gvfs: and what it saved over another version");
  check(statSync(back).size === 3_000_000, "gvfs: the copy is whole");
  return undefined;
}
