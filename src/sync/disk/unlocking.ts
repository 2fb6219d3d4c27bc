/**
 * Directories that their owner may not write in, as 0555 has it: they came with that mode, and what is to come into them, or to go, does so all the
 * same. Each is given leave for as long as one action takes. Whoever is root never meets this.
 */
import { failedWith } from "../../base/system-errors.ts";
import type { DiskPath, SyncDisk } from "./disk.ts";

/** To enter it and to change its names. */
const OWNER_MAY_CHANGE = 0o300;

interface Locked {
  readonly path: DiskPath;
  readonly mode: number;
}

/** The same disk, whose actions in such directories are done. */
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
    // What fails all the same is not tried so: to give leave is told of, and who hears that would try again.
    removeDirectory: (path) =>
      unlocked(disk, [above(path)], () => removeDirectory(path), { check: () => isEmpty(disk, path) }),
    // A directory that gets another parent is changed itself, in what is above it.
    rename: (from, to, how) => unlocked(disk, [above(from), above(to), from], () => rename(from, to, how), { to }),
  };
  return Object.assign(disk, actions);
}

/** `to`: where the last one of the paths is when it is done. `check`: whether it can be done, but for the leave. */
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
    // Who may not list it may remove it, if it is.
    if (failedWith(error, "EACCES")) return true;
    throw error;
  }
}

function above(path: DiskPath): DiskPath {
  return path.slice(0, -1);
}
