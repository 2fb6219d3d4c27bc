/**
 * Writes in directories that their owner may not write in, such as 0555: they came with that mode, and their entries still
 * must come and go. Each gets write permission for one action. Root never needs this.
 */
import { failedWith } from "../../base/system-errors.ts";
import type { DiskPath, SyncDisk } from "./disk.ts";

/** Permission to enter a directory and change its names. */
const OWNER_MAY_CHANGE = 0o300;

interface Locked {
  readonly path: DiskPath;
  readonly mode: number;
}

/** The same disk, whose actions also work in such directories. */
export function unlocking<Disk extends SyncDisk>(disk: Disk): Disk {
  const makeDirectory = disk.makeDirectory.bind(disk);
  const makeSymlink = disk.makeSymlink.bind(disk);
  const link = disk.link.bind(disk);
  const rename = disk.rename.bind(disk);
  const unlink = disk.unlink.bind(disk);
  const removeDirectory = disk.removeDirectory.bind(disk);
  const actions: Pick<SyncDisk, "makeDirectory" | "makeSymlink" | "link" | "rename" | "unlink" | "removeDirectory"> = {
    makeDirectory: (path) => unlocked(disk, [above(path)], () => makeDirectory(path)),
    makeSymlink: (path, target) => unlocked(disk, [above(path)], () => makeSymlink(path, target)),
    link: (from, to) => unlocked(disk, [above(to)], () => link(from, to)),
    unlink: (path) => unlocked(disk, [above(path)], () => unlink(path)),
    // Not attempted if it would fail anyway: changing the mode causes a notice, whose listener would try again.
    removeDirectory: (path) =>
      unlocked(disk, [above(path)], () => removeDirectory(path), { check: () => isEmpty(disk, path) }),
    // Moving a directory to another parent changes its own "..", so it needs permission, too.
    rename: (from, to, how) => unlocked(disk, [above(from), above(to), from], () => rename(from, to, how), { to }),
  };
  return Object.assign(disk, actions);
}

/** `to`: the last path's location afterwards. `check`: whether the action would work with permission. */
async function unlocked(
  disk: SyncDisk,
  paths: readonly DiskPath[],
  action: () => Promise<void>,
  { to, check }: { readonly to?: DiskPath; readonly check?: () => Promise<boolean> } = {},
): Promise<void> {
  try {
    return await action();
  } catch (error) {
    if (!failedWith(error, "EACCES")) throw error;
    const locked = await lockedOf(disk, paths);
    if (locked.length === 0) throw error;
    if (check !== undefined && !(await check())) throw Object.assign(new Error("ENOTEMPTY"), { code: "ENOTEMPTY" });
    await unlockedFor(disk, locked, action, (path) => (to !== undefined && path === paths.at(-1) ? to : path));
  }
}

async function unlockedFor(
  disk: SyncDisk,
  locked: readonly Locked[],
  action: () => Promise<void>,
  moved: (path: DiskPath) => DiskPath,
): Promise<void> {
  let isDone = false;
  try {
    for (const { path, mode } of locked) await disk.setMode(path, mode | OWNER_MAY_CHANGE);
    await action();
    isDone = true;
  } finally {
    for (const { path, mode } of locked) await disk.setMode(isDone ? moved(path) : path, mode).catch(() => {});
  }
}

async function lockedOf(disk: SyncDisk, paths: readonly DiskPath[]): Promise<Locked[]> {
  const locked: Locked[] = [];
  for (const path of paths) {
    const stat = await disk.look(path);
    const isOwn = stat?.type === "directory" && stat.uid === process.geteuid?.();
    if (isOwn && (stat.mode & OWNER_MAY_CHANGE) !== OWNER_MAY_CHANGE) locked.push({ path, mode: stat.mode });
  }
  return locked;
}

async function isEmpty(disk: SyncDisk, path: DiskPath): Promise<boolean> {
  try {
    return (await disk.list(path)).length === 0;
  } catch (error) {
    // A directory that cannot be listed may still be removable.
    if (failedWith(error, "EACCES")) return true;
    throw error;
  }
}

function above(path: DiskPath): DiskPath {
  return path.slice(0, -1);
}
