/**
 * A mount of a user who is not root, through fusermount3 or in a user namespace. It runs as nobody, in a mount namespace whose
 * /dev/fuse everybody may open, as on Debian.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { supervisorPath } from "../../src/fuse/supervisor.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Runs the script $1 as nobody, with a /dev/fuse of its own that has mode $2. */
const INSIDE = `
  set -e
  mount --make-rprivate /
  mknod "$HOME/fuse" c 10 229
  chmod "$2" "$HOME/fuse"
  mount --bind "$HOME/fuse" /dev/fuse
  exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "$1"`;
const main = resolve(import.meta.dirname, "../../dist/main.js");
/** The command, for the shell. */
const PROGRAM = `syncline() { "${process.execPath}" "${main}" "$@"; }`;

function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux, to become somebody else";
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  if (!existsSync("/usr/bin/fusermount3")) return "fusermount3 is not installed";
  const home = mkdtempSync(join(tmpdir(), "syncline-nobody-"));
  chmodSync(home, 0o777);
  const { status, err } = asNobody(
    home,
    `"${process.execPath}" "${main}" --version >/dev/null || exit 9; : <>/dev/fuse`,
  );
  rmSync(home, { recursive: true });
  if (status === 9) return "other users may not run this checkout";
  return status === 0 ? undefined : `no device of its own: ${err.trim()}`;
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(`an ordinary user${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test("mounts, survives a kill of the agent and an upgrade, and unmounts", async () => {
    expect(await withBucket(SCRIPT)).toEqual({
      status: 0,
      out: ["mounted as nobody", "before the kill", "after the kill", "replaced", "unmounted"].join("\n"),
      err: "",
    });
  });

  test.skipIf(!existsSync("/usr/bin/setfacl"))(
    "gives files access control lists, before and after an upgrade",
    async () => {
      expect(await withBucket(LISTS)).toEqual({ status: 0, out: "user:1234:rw-\nuser:1234:r--\n654", err: "" });
    },
  );

  test("mounts as mount(8) does for a user's line of fstab, and umount(8) ends it", async () => {
    expect(await withBucket(FSTAB)).toEqual({ status: 0, out: ["mounted", "unmounted"].join("\n"), err: "" });
  });

  test("runs a mount as a service, whose killed agents are replaced", async () => {
    expect(await withBucket(service())).toEqual({ status: 0, out: ["kept", "ended with 0"].join("\n"), err: "" });
  });

  test("mounts as the root of a user namespace, and the mount outlives its agent", async () => {
    expect(await withBucket(IN_USER_NAMESPACE)).toEqual({
      status: 0,
      out: ["mounted as root", "before the kill", "after the kill", "replaced", "unmounted"].join("\n"),
      err: "",
    });
  });

  test("who may not open /dev/fuse is told what to do", async () => {
    const { status, err } = await withBucket('syncline mount "$url" mnt', "600");
    expect(status).toBe(1);
    expect(err).toContain("chmod 666 /dev/fuse");
  });
});

const KILLED = `
  echo "before the kill" >mnt/file
  kill -9 "$(syncline status mnt --json | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')"
  cat mnt/file
  echo "after the kill" >mnt/file
  cat mnt/file
  syncline upgrade mnt >log && echo replaced
  syncline unmount mnt >log
  grep -q " $HOME/mnt " /proc/self/mounts || echo unmounted`;

const SCRIPT = `
  syncline mount "$url" mnt --noexec --background >log
  grep " $HOME/mnt fuse.syncline .*noexec.*user_id=65534" /proc/self/mounts >log && echo "mounted as nobody"
  ${KILLED}`;

/** fusermount3 is not used: it cannot become root in a user namespace. The bucket's owner has no user id there. */
const IN_USER_NAMESPACE = `
  cat >inside <<'END'
  ${PROGRAM}
  syncline mount "$1" mnt --owner me --background >log
  grep " $HOME/mnt fuse.syncline .*user_id=0" /proc/self/mounts >log && echo "mounted as root"
  ${KILLED}
END
  unshare --user --map-root-user --mount sh -e inside "$url"`;

const LISTS = `
  syncline mount "$url" mnt --acl --background >log
  umask 077
  setfacl -d -m u:1234:rw mnt
  : >mnt/file
  getfacl -cn mnt/file | grep 1234 | cut -c 1-13
  syncline upgrade mnt >log
  setfacl -m u:1234:r mnt/file
  getfacl -cn mnt/file | grep 1234 | cut -c 1-13
  stat -c %a mnt/file
  syncline unmount mnt >log`;

/** mount(8) calls its helper as the user. */
const FSTAB = `
  syncline mount.syncline "$url" "$HOME/mnt" -o rw,noexec,nosuid,nodev,user,owner=me
  grep -q " $HOME/mnt fuse.syncline .*noexec.*user_id=65534" /proc/self/mounts && echo mounted
  umount mnt
  grep -q " $HOME/mnt " /proc/self/mounts || echo unmounted
  while syncline status mnt >log 2>&1; do :; done`;

/** As the unit of systemctl --user does. */
const service = () => `
  : >service.log
  "${supervisorPath()}" --service "${process.execPath}" "${main}" mount "$url" "$HOME/mnt" >>service.log 2>&1 &
  until grep -q Mounted service.log; do :; done
  echo kept >mnt/file
  kill -9 "$(syncline status mnt --json | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')"
  cat mnt/file
  kill "$!"
  wait "$!"
  echo "ended with $?"`;

/** Runs a script of the shell with a bucket at $url; `mode`: of /dev/fuse. */
async function withBucket(script: string, mode?: string) {
  const home = await temporaryFolder();
  chmodSync(home, 0o777);
  const own = `
    set -e
    cd
    ${PROGRAM}
    url=file://$HOME/bucket
    mkdir mnt
    syncline init "$url" >log
    ${script}`;
  return asNobody(home, own, mode);
}

function asNobody(home: string, script: string, mode = "666") {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: home, SYNCLINE_KEY: "42".repeat(32) };
  const { status, stdout, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", INSIDE, "sh", script, mode], {
    env,
    encoding: "utf8",
  });
  return { status, out: stdout.trim(), err: stderr };
}
