/**
 * Writes in directories that their owner may not write in, such as 0555: they came with that mode, and their entries still
 * must come and go. Each gets write permission for one action. Root never needs this.
 *
 * Meanwhile a link in the folder's own directory records its mode: a link is made in one step. If the process is killed,
 * opening the disk again restores the mode, which would look like a user's change.
 */
import type { FileName } from "../../base/ids.ts";
import { failedWith, isSystemError } from "../../base/system-errors.ts";
import type { DiskPath, DiskStat, SyncDisk } from "./disk.ts";
import { OWN_FOLDER_PATH, UNLOCKED } from "./paths.ts";

/** Permission to enter a directory and change its names. */
const OWNER_MAY_CHANGE = 0o300;

interface Locked {
  readonly path: DiskPath;
  readonly mode: number;
  readonly ino: bigint;
}

/** Directly on the disk, without unlocking. */
type Plain = Pick<SyncDisk, "makeSymlink" | "unlink">;

/** The same disk, whose actions also work in such directories. */
export function unlocking<Disk extends SyncDisk>(disk: Disk): Disk {
  const open = disk.open.bind(disk);
  const makeDirectory = disk.makeDirectory.bind(disk);
  const makeSymlink = disk.makeSymlink.bind(disk);
  const link = disk.link.bind(disk);
  const rename = disk.rename.bind(disk);
  const unlink = disk.unlink.bind(disk);
  const removeDirectory = disk.removeDirectory.bind(disk);
  const plain: Plain = { makeSymlink, unlink };
  const unlocked = (paths: readonly DiskPath[], action: () => Promise<void>, how?: How) =>
    doneUnlocked(disk, plain, paths, action, how);
  const actions: Partial<SyncDisk> = {
    open: async () => {
      await open();
      await relock(disk, plain);
    },
    makeDirectory: (path) => unlocked([above(path)], () => makeDirectory(path)),
    makeSymlink: (path, target) => unlocked([above(path)], () => makeSymlink(path, target)),
    link: (from, to) => unlocked([above(to)], () => link(from, to)),
    unlink: (path) => unlocked([above(path)], () => unlink(path)),
    // Only if it is empty: chmod causes a notice, and its listener would try again, without end.
    removeDirectory: (path) =>
      unlocked([above(path)], () => removeDirectory(path), { check: () => isEmpty(disk, path) }),
    // Moving a directory to another parent changes its own "..", so it needs permission, too.
    rename: (from, to, how) => unlocked([above(from), above(to), from], () => rename(from, to, how), { to }),
  };
  return Object.assign(disk, actions);
}

interface How {
  /** The last path's location afterwards. */
  readonly to?: DiskPath;
  /** Whether the action would work with permission. */
  readonly check?: () => Promise<boolean>;
}

async function doneUnlocked(
  disk: SyncDisk,
  plain: Plain,
  paths: readonly DiskPath[],
  action: () => Promise<void>,
  { to, check }: How = {},
): Promise<void> {
  try {
    return await action();
  } catch (error) {
    if (!failedWith(error, "EACCES")) throw error;
    const locked = await lockedOf(disk, paths);
    if (locked.length === 0) throw error;
    if (check !== undefined && !(await check())) throw Object.assign(new Error("ENOTEMPTY"), { code: "ENOTEMPTY" });
    await unlockedFor(disk, plain, locked, action, (path) => (to !== undefined && path === paths.at(-1) ? to : path));
  }
}

async function unlockedFor(
  disk: SyncDisk,
  plain: Plain,
  locked: readonly Locked[],
  action: () => Promise<void>,
  moved: (path: DiskPath) => DiskPath,
): Promise<void> {
  let isDone = false;
  try {
    for (const each of locked) {
      await record(plain, each, [each.path, moved(each.path)]);
      await disk.setMode(each.path, each.mode | OWNER_MAY_CHANGE);
    }
    await action();
    isDone = true;
  } finally {
    for (const each of locked)
      await lockAgain(disk, plain, each, isDone ? moved(each.path) : each.path).catch(() => {});
  }
}

async function lockAgain(disk: SyncDisk, { unlink }: Plain, { mode, ino }: Locked, path: DiskPath): Promise<void> {
  await disk.setMode(path, mode);
  for (const at of recordsOf(ino)) await unlink(at);
}

/** `paths`: where the directory is before and after the action. */
async function record({ makeSymlink }: Plain, { mode, ino }: Locked, paths: readonly DiskPath[]): Promise<void> {
  const texts = new Set(paths.map((path) => path.join("/")));
  for (const [index, text] of [...texts].entries()) {
    try {
      await makeSymlink(recordsOf(ino)[index] ?? [], `${mode.toString(8)} ${ino} ${text}`);
    } catch (error) {
      // An older record has the older mode. A folder without its own directory, or a disk without links, has none.
      if (!failedWith(error, "EEXIST", "ENOENT", "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")) throw error;
    }
  }
}

/** Restores modes after a killed run. */
async function relock(disk: SyncDisk, { unlink }: Plain): Promise<void> {
  const entries = await disk.list(OWN_FOLDER_PATH).catch((error: unknown) => {
    // A pass that needs the directory reports the reason.
    if (!isSystemError(error)) throw error;
    return [];
  });
  for (const { name, stat } of entries) {
    if (stat.type !== "symlink" || !name.startsWith(UNLOCKED)) continue;
    const at = [...OWN_FOLDER_PATH, name];
    try {
      await relockOne(disk, await disk.readLink(at));
      await unlink(at);
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
}

async function relockOne(disk: SyncDisk, text: string): Promise<void> {
  const [, octal = "", ino, place] = RECORD.exec(text) ?? [];
  const path = place?.split("/") as DiskPath | undefined;
  const stat = path && (await disk.look(path));
  const mode = Number.parseInt(octal, 8);
  const isUnlocked = stat?.type === "directory" && String(stat.ino) === ino && stat.mode === (mode | OWNER_MAY_CHANGE);
  if (path !== undefined && isUnlocked) await disk.setMode(path, mode);
}

function recordsOf(ino: bigint): readonly DiskPath[] {
  return ["", "-moved"].map((suffix) => OWN_FOLDER_PATH.concat(`${UNLOCKED}${ino}${suffix}` as FileName));
}

/** A mode, an inode, and a path. */
const RECORD = /^([0-7]+) (\d+) (.+)$/s;

async function lockedOf(disk: SyncDisk, paths: readonly DiskPath[]): Promise<Locked[]> {
  const locked: Locked[] = [];
  for (const path of paths) {
    const stat = await disk.look(path);
    if (stat !== undefined && isLocked(stat) && !locked.some(({ ino }) => ino === stat.ino))
      locked.push({ path, mode: stat.mode, ino: stat.ino });
  }
  return locked;
}

/** Gives an own directory write permission, for a caller that sets its mode afterwards. */
export async function unlockDirectory(disk: Pick<SyncDisk, "setMode">, path: DiskPath, stat: DiskStat): Promise<void> {
  if (isLocked(stat)) await disk.setMode(path, stat.mode | OWNER_MAY_CHANGE);
}

function isLocked({ type, uid, mode }: DiskStat): boolean {
  return type === "directory" && uid === process.geteuid?.() && (mode & OWNER_MAY_CHANGE) !== OWNER_MAY_CHANGE;
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
