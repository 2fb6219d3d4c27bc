/**
 * Makes what will be published durable in the folder. The database is durable, so after a power failure an empty or missing
 * file would count as someone's change or deletion, for everyone.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { FileType } from "../../format/files/record.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { hasSeen } from "./entries-of-object.ts";
import type { Matching } from "./matching.ts";
import { NOT_LISTED, type Found } from "./walk.ts";

/**
 * Makes recent changes durable, bytes and names, which the system may not have written out yet. Never throws: what the disk
 * cannot keep should be published all the more.
 */
export async function makeDurable(disk: SyncDisk, matching: Matching, nowNs: bigint): Promise<void> {
  const [files, directories] = [new Map<string, DiskPath>(), new Map<string, DiskPath>()];
  for (const { path, stat } of recent(matching, nowNs)) {
    // The parent directory holds the name, or has lost it.
    const above = path.slice(0, -1);
    if (path.length > 0) directories.set(above.join("/"), above);
    if (stat.type === "directory") directories.set(path.join("/"), path);
    else if (stat.type === "file") files.set(path.join("/"), path);
  }
  if (files.size + directories.size > TOGETHER && (await tried(disk.syncAll?.()))) return;
  await mapConcurrent([...files.values()], AT_ONCE, (path) => tried(syncOne(disk, path)));
  await mapConcurrent([...directories.values()], AT_ONCE, (path) => tried(disk.syncDirectory(path)));
}

/**
 * Makes names durable that a killed run added or removed. Throws as the disk does, except for directories that are
 * unavailable or shut by now: a scan takes those for unchanged.
 */
export async function makeNamesDurable(disk: SyncDisk, directories: readonly DiskPath[]): Promise<void> {
  // Also covers what someone moved elsewhere meanwhile.
  if (await tried(disk.syncAll?.())) return;
  for (const path of new Map(directories.map((each) => [each.join("/"), each])).values())
    if (!(await isShut(disk, path))) await syncDirectories(disk, [path]);
}

async function isShut(disk: SyncDisk, directory: DiskPath): Promise<boolean> {
  try {
    await disk.list(directory);
    return false;
  } catch (error) {
    if (failedWith(error, ...NOT_LISTED)) return true;
    throw error;
  }
}

/** A path whose attributes were set. */
export interface Changed {
  readonly path: DiskPath;
  readonly type: FileType;
}

/** Makes the names in directories durable. Throws as the disk does, except for directories that are unavailable. */
export async function syncDirectories(disk: SyncDisk, paths: Iterable<DiskPath>): Promise<void> {
  let isAnyClosed = false;
  for (const path of paths) {
    await disk.syncDirectory(path).catch((error: unknown) => {
      if (!failedWith(error, ...UNAVAILABLE)) throw error;
      isAnyClosed ||= failedWith(error, "EACCES", "EPERM");
    });
  }
  // Without read permission it cannot be opened, but its names can be changed.
  if (isAnyClosed) await tried(disk.syncAll?.());
}

/** Makes attributes durable, at few paths one by one. Throws as the disk does, except for what is unavailable. */
export async function syncAttributes(disk: SyncDisk, changed: readonly Changed[]): Promise<void> {
  if (changed.length > TOGETHER && (await tried(disk.syncAll?.()))) return;
  let isAny = false;
  await mapConcurrent(changed, AT_ONCE, async ({ path, type }) => {
    try {
      // A link itself cannot be opened.
      await (type === "file" ? syncOne(disk, path) : disk.syncDirectory(type === "symlink" ? path.slice(0, -1) : path));
    } catch (error) {
      if (!failedWith(error, ...UNAVAILABLE)) throw error;
      isAny = true;
    }
  });
  // Its mode may forbid opening it.
  if (isAny) await tried(disk.syncAll?.());
}

function* recent({ objectOf }: Matching, nowNs: bigint): Generator<Found> {
  for (const [found, { entries }] of objectOf) {
    const { stat } = found;
    if (nowNs - stat.ctimeNs > WRITTEN_NS) continue;
    if (!hasSeen(entries, stat)) yield found;
  }
}

async function syncOne(disk: SyncDisk, path: DiskPath): Promise<void> {
  const file = await disk.read(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Whether it succeeded. */
async function tried(work: Promise<void> | undefined): Promise<boolean> {
  try {
    await work;
    return work !== undefined;
  } catch {
    return false;
  }
}

/** Removed or replaced since, or the user may not open it. */
const UNAVAILABLE = ["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENXIO", "EACCES", "EPERM", "EINVAL"] as const;
/** Linux writes out data after 30 s (vm.dirty_expire_centisecs); this allows time for the writing. */
const WRITTEN_NS = 120_000_000_000n;
/** More than this many are synced with the whole filesystem, which also writes others' pending data. */
const TOGETHER = 16;
const AT_ONCE = 8;
