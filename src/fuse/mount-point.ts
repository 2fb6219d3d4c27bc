/** Prepares a directory for mounting: removes dead mounts of agents that ended without unmounting. */
import { readdir, statfs } from "node:fs/promises";
import { resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import { escapeForPrint, shellWord } from "../base/names.ts";
import { type FuseAddon, loadAddon } from "./addon.ts";
import { needsHelper, unmountByHelper } from "./helper.ts";
import { MOUNT_TYPE, readMountTable } from "./mount-table.ts";

/** umount2(2): detaches the mount from the tree now, even if in use. */
export const MNT_DETACH = 2;

/**
 * Removes dead mounts of ours from `path`, and checks that it is an empty directory without a live mount. Never call it
 * from a thread that serves a mount there. Throws `fuse_unavailable`, `mount_busy`, `mount_not_empty`, `no_such_path`,
 * `not_a_directory`.
 */
export async function prepareMountPoint(path: string, clock: Clock): Promise<void> {
  const mountPoint = resolve(path);
  const addon = loadAddon();
  for (let attempt = 0; await isOurs(mountPoint); attempt++) {
    if (attempt === MAX_DEAD_MOUNTS || !(await isDead(mountPoint, clock))) throw busy(mountPoint);
    await detach(addon, mountPoint);
  }
  await checkEmpty(mountPoint);
}

/** The path as the kernel takes it: one char a byte. */
export function pathBytes(path: string): string {
  return Buffer.from(path, "utf8").toString("latin1");
}

async function isOurs(mountPoint: string): Promise<boolean> {
  const top = (await readMountTable()).findLast((mount) => mount.mountPoint === mountPoint);
  return top?.type === MOUNT_TYPE;
}

/**
 * A mount whose agent is gone answers ENOTCONN at once; one whose agent lives or hangs does not. Unlike lstat, statfs is
 * never answered from the kernel's caches.
 */
async function isDead(mountPoint: string, clock: Clock): Promise<boolean> {
  const giveUp = new AbortController();
  const answer = statfs(mountPoint).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === "ENOTCONN",
  );
  const timeout = clock.sleep(ANSWER_TIMEOUT_MS, giveUp.signal).then(
    () => false,
    () => false,
  );
  const dead = await Promise.race([answer, timeout]);
  giveUp.abort();
  return dead;
}

/** The command to show to people. */
export function detachCommand(mountPoint: string): string {
  return `${needsHelper() ? "fusermount3 -uz" : "umount -l"} ${shellWord(mountPoint)}`;
}

/** Unmounts with umount2(2), or through the helper. Resolves to 0 or an errno. */
export function unmountAt(addon: FuseAddon, mountPoint: string, flags: number): Promise<number> {
  if (!needsHelper()) return addon.unmount(mountPoint, flags);
  return unmountByHelper(Buffer.from(mountPoint, "latin1").toString("utf8"), (flags & MNT_DETACH) !== 0);
}

async function detach(addon: FuseAddon, mountPoint: string): Promise<void> {
  const errno = await unmountAt(addon, pathBytes(mountPoint), MNT_DETACH);
  if (errno === 0) return;
  throw new SynclineError(
    "mount_busy",
    `The dead mount at ${escapeForPrint(mountPoint)} cannot be removed (error ${errno}).`,
    { hint: `Remove it: ${detachCommand("DIR")}.` },
  );
}

async function checkEmpty(mountPoint: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(mountPoint);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new SynclineError("no_such_path", `${escapeForPrint(mountPoint)} does not exist.`, {
        hint: `Create the directory first: mkdir -p ${shellWord(mountPoint)}`,
        cause,
      });
    }
    if (code === "EACCES" || code === "EPERM") {
      throw new SynclineError("local_io_failed", `This user may not read ${escapeForPrint(mountPoint)}.`, {
        hint: "Mount on a directory of your own.",
        cause,
      });
    }
    if (code !== "ENOTDIR") throw cause;
    throw new SynclineError("not_a_directory", `${escapeForPrint(mountPoint)} is not a directory.`, { cause });
  }
  if (names.length === 0) return;
  throw new SynclineError("mount_not_empty", `${escapeForPrint(mountPoint)} is not empty.`, {
    hint: "Mount on an empty directory: a mount would hide what is in this one.",
  });
}

function busy(mountPoint: string): SynclineError {
  return new SynclineError("mount_busy", `Something is already mounted at ${escapeForPrint(mountPoint)}.`, {
    hint: "Unmount it first, or mount elsewhere.",
  });
}

const ANSWER_TIMEOUT_MS = 2_000;
/** Dead mounts may lie on top of each other. */
const MAX_DEAD_MOUNTS = 16;
