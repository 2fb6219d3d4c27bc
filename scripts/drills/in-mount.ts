/**
 * Runs any program in a mounted bucket, while the mount flushes again and again and a second agent changes other files; then
 * the bucket, shown by a new agent, must be what the mount was. For outside suites, which bring a verdict of their own.
 *   node scripts/drills/in-mount.ts COMMAND [ARGUMENT…]
 * The command runs in an empty folder of the mount, whose path it also finds in $DIR. $FLUSH_MS (100) lies between flushes.
 * With $KILL_MS, the mount's agent is killed with -9 about that often, and its supervisor starts the next one. $MOUNT_OPTIONS are
 * options of the mounts, such as "--acl --birth-times".
 *
 * Expected to differ on Linux 6.18:
 *   pjdfstest after kill -9: utimensat/02.
 *   fsx: collapse, insert, clone, dedupe and exchange are refused.
 *   LTP (of programs that mount a device, those without mount_device and all_filesystems in their source): lseek11 (published
 *   holes under 64 KiB are zeros), setxattr03 (chattr +i), fallocate04 (zeroed ranges are holes), open12 (O_NOATIME) and
 *   statx06 (atimes; birth times are an option), preadv203 (RWF_NOWAIT), rename12 (leaves FUSE out).
 *   xfstests: 394, 531, 564 (need the right to raise limits), 003 (atimes), 020 (64 KiB beside other attributes), 184, 434, 633
 *   (nodev, nosuid), 294, 306, 452 (remount), 426, 467, 477, 756, 777 (file handles), 451 (asynchronous O_DIRECT beside reads:
 *   the kernel keeps old pages), 490 (takes a byte for the block size, since holes are exact), 568 (fallocate reserves nothing),
 *   683, 684, 685 (set-gid), 732 (two mounts of one device).
 *
 * For xfstests set FSTYP=fuse FUSE_SUBTYP=.syncline, buckets' URLs in TEST_DEV and SCRATCH_DEV, and install a
 * mount.fuse.syncline that calls `syncline mount "$1" "$2" --background` and retries while the previous agent ends. _fs_type in
 * common/rc must treat fuse.syncline as fuse.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { agentOf, supervisorOf } from "../../test/support/supervisor.ts";
import { agent, check, differences, fingerprint, join, kill, report, syncline, until, workspace } from "./lib.ts";

const [command, ...args] = process.argv.slice(2);
if (command === undefined) throw new Error("Which command?");
const flushMs = Number(process.env["FLUSH_MS"] ?? 100);
const killMs = Number(process.env["KILL_MS"] ?? 0);
const options = { args: (process.env["MOUNT_OPTIONS"] ?? "").split(" ").filter(Boolean) };
const space = workspace("in-mount");
// Suites also run as other users, who must reach the mount.
chmodSync(space.path, 0o755);
const url = `file://${join(space.path, "bucket")}`;
syncline(space, ["init", url]);
const a = agent(space, "a", url, options);
const b = agent(space, "b", url, options);
const folder = join(a.dir, "run");
mkdirSync(folder);

const life = { ended: false };
const beside = Promise.all([flushes(), changes(), kills()]);
const child = spawn(command, args, { cwd: folder, env: { ...process.env, DIR: folder }, stdio: "inherit" });
const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
life.ended = true;
const [flushed, changed, killed] = await beside;
report(
  `${command} ended with ${status ?? signal}; beside it ${flushed} flushes and ${killed} kills here, ${changed} changes by another agent`,
);

check(a.flush().published, "all is published");
const shown = fingerprint(folder);
a.unmount();
b.unmount();
const fresh = agent(space, "fresh", url, options);
const apart = differences(shown, fingerprint(join(fresh.dir, "run")));
for (const { path, a: here, b: there } of apart.slice(0, 10)) report(`  ${path}: ${here} / ${there}`);
check(apart.length === 0, `${shown.size} names are the same for a new agent`);
fresh.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
process.exitCode = status === 0 ? 0 : 1;

/** Over the control socket: a process for each flush would cost more than the flush. */
async function flushes(): Promise<number> {
  // Beside the mount's own folder there may be one for the bucket's address.
  const name = readdirSync(a.state).find((folder) => existsSync(join(a.state, folder, "control.sock")));
  if (name === undefined) throw new Error(`no control socket in ${a.state}`);
  let count = 0;
  for (; !life.ended; count++) {
    const socket = connect(join(a.state, name, "control.sock"));
    socket.on("error", () => {});
    socket.write(`{"call":"flush"}\n`);
    // A killed agent closes the connection without an answer.
    await Promise.race([once(socket, "data"), once(socket, "close")]).catch(() => {});
    socket.destroy();
    await pause(flushMs);
  }
  return count;
}

/** Kills the agent again and again, after half to one and a half times $KILL_MS. */
async function kills(): Promise<number> {
  const supervisor = supervisorOf(a.pid);
  if (killMs === 0 || supervisor === undefined) return 0;
  for (let count = 0; ; count++) {
    const endMs = performance.now() + killMs * (0.5 + Math.random());
    while (!life.ended && performance.now() < endMs) await pause(50);
    if (life.ended) return count;
    const victim = agentOf(supervisor, a.pid);
    kill(victim);
    space.pids.delete(victim);
    await until(() => agentOf(supervisor, victim) !== victim, 30_000, "the next agent");
    a.pid = agentOf(supervisor, victim);
    space.pids.add(a.pid);
  }
}

/** Files that come, change, move and go at the other agent. */
async function changes(): Promise<number> {
  const place = (number: number) => join(b.dir, "beside", `${number % 5}`, `file-${number % 40}`);
  for (let number = 0; number < 5; number++) mkdirSync(join(b.dir, "beside", `${number}`), { recursive: true });
  let count = 0;
  for (; !life.ended; count++) {
    writeFileSync(place(count), `change ${count}\n`.repeat(count % 2000));
    if (count % 3 === 0) renameSync(place(count), `${place(count)}-moved`);
    if (count % 7 === 0) rmSync(place(count - 1), { force: true });
    await pause(50);
  }
  return count;
}
