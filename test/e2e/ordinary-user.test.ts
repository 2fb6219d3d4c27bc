/**
 * A mount of a user who is not root, through fusermount3. It runs as nobody in a mount namespace whose /dev/fuse all may open, as
 * on Debian.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const main = resolve(import.meta.dirname, "../../dist/main.js");
const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux, to become somebody else";
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  if (!existsSync("/usr/bin/fusermount3")) return "fusermount3 is not installed";
  const [command = "", ...args] = [...NOBODY, "test", "-r", main];
  return spawnSync(command, args).status === 0 ? undefined : "other users may not read this checkout";
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(`an ordinary user${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test("mounts, survives a kill of the agent and an upgrade, and unmounts", async () => {
    expect(await asNobody(SCRIPT)).toEqual({
      status: 0,
      out: ["mounted as nobody", "before the kill", "after the kill", "replaced", "unmounted"].join("\n"),
      err: "",
    });
  });

  test("who may not open /dev/fuse is told what to do", async () => {
    const { status, err } = await asNobody('syncline mount "$url" mnt', 0o600);
    expect(status).toBe(1);
    expect(err).toContain("chmod 666 /dev/fuse");
  });
});

const SCRIPT = `
  syncline mount "$url" mnt --background >log
  grep " $HOME/mnt fuse.syncline .*user_id=65534" /proc/self/mounts >log && echo "mounted as nobody"
  echo "before the kill" >mnt/file
  kill -9 "$(syncline status mnt --json | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')"
  cat mnt/file
  echo "after the kill" >mnt/file
  cat mnt/file
  syncline upgrade mnt >log && echo replaced
  syncline unmount mnt >log
  grep -q " $HOME/mnt " /proc/self/mounts || echo unmounted`;

/** Runs a script of the shell; `mode`: of /dev/fuse. */
async function asNobody(script: string, mode = 0o666) {
  const home = await temporaryFolder();
  chmodSync(home, 0o777);
  const inside = `
    set -e
    mount --make-rprivate /
    mknod ${home}/fuse c 10 229
    chmod ${mode.toString(8)} ${home}/fuse
    mount --bind ${home}/fuse /dev/fuse
    exec ${NOBODY.join(" ")} env -i PATH=/usr/bin:/bin HOME=${home} SYNCLINE_KEY=${"42".repeat(32)} sh -c "$1"`;
  const own = `
    set -e
    cd
    syncline() { "${process.execPath}" "${main}" "$@"; }
    url=file://$HOME/bucket
    mkdir mnt
    syncline init "$url" >log
    ${script}`;
  const { status, stdout, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", inside, "sh", own], {
    encoding: "utf8",
  });
  return { status, out: stdout.trim(), err: stderr };
}
