/** A mount as a container sees it, through a bind mount of its parent or of the mount itself, in a mount namespace. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const main = resolve(import.meta.dirname, "../../dist/main.js");

/** What the container runs. It says when it is ready, and continues when it is told to. */
const CONTAINER = `
  mount --rbind host box/parent
  mount --make-rslave box/parent
  mount --bind host/notes box/mount
  mount --make-private box/mount
  look() { cat "$1/file" 2>&1 | sed 's/.*: //'; }
  echo "parent: $(look box/parent/notes), mount: $(look box/mount)"
  echo >ready; read -r _ <go
  echo "parent: $(look box/parent/notes), mount: $(look box/mount)"`;

/** What the host runs: it mounts, kills the agent and its supervisor, and mounts again. */
const HOST = `
  set -e
  syncline() { "${process.execPath}" "${main}" "$@"; }
  mkdir -p host box/parent box/mount
  mkfifo ready go
  mount -t tmpfs none host
  mount --make-shared host
  mkdir host/notes
  syncline mount "$1" host/notes --background >log
  echo before >host/notes/file
  unshare --mount --propagation unchanged sh -c "$2" &
  trap 'kill $! 2>/dev/null || :; umount -l host/notes 2>/dev/null || :' EXIT
  read -r _ <ready
  agent=$(syncline status host/notes --json | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
  kill -9 "$(pgrep -P "$agent" syncline-superv)" "$agent"
  while stat -f host/notes >log 2>&1; do :; done
  syncline mount "$1" host/notes --background >log
  echo after >host/notes/file
  echo >go
  wait
  syncline unmount host/notes >log`;

function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  const { status } = spawnSync("unshare", ["--mount", "sh", "-c", "command -v pgrep"]);
  return status === 0 ? undefined : "no mount namespace of its own, or no pgrep";
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(`a container${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test("sees a later mount through an rslave bind mount of its parent, but not through a bind mount of the mount itself", () => {
    using space = new Workspace("mount-namespaces");
    const url = space.url("bucket");
    space.do("init", url);
    const { status, stdout, stderr } = spawnSync(
      "unshare",
      ["--mount", "--propagation", "private", "bash", "-c", HOST, "bash", url, CONTAINER],
      { cwd: space.path, env: space.env, encoding: "utf8", timeout: 60_000 },
    );
    expect({ status, out: stdout.trimEnd().split("\n"), err: stderr }).toEqual({
      status: 0,
      out: ["parent: before, mount: before", "parent: after, mount: Transport endpoint is not connected"],
      err: "",
    });
  });
});
