/**
 * What is about to be published, made durable where it is. The database that it is noted in is durable, so a file that is empty or missing after a
 * power failure would count as changed or deleted by somebody, for everybody.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import type { Matching } from "./match.ts";
import type { Found } from "./walk.ts";

/**
 * What somebody did since it was synced, and the system may not have written out yet: bytes and names. Never throws: what the disk cannot keep is
 * all the more to be published.
 */
export async function makeDurable(disk: SyncDisk, matching: Matching, nowNs: bigint): Promise<void> {
  const [files, directories] = [new Map<string, DiskPath>(), new Map<string, DiskPath>()];
  for (const { path, stat } of recent(matching, nowNs)) {
    // A name is in the directory above; one that is gone changed that, too.
    const above = path.slice(0, -1);
    if (path.length > 0) directories.set(above.join("/"), above);
    if (stat.type === "directory") directories.set(path.join("/"), path);
    else if (stat.type === "file") files.set(path.join("/"), path);
  }
  if (files.size + directories.size > TOGETHER && (await tried(disk.syncAll?.()))) return;
  await mapConcurrent([...files.values()], AT_ONCE, (path) => tried(syncOne(disk, path)));
  await mapConcurrent([...directories.values()], AT_ONCE, (path) => tried(disk.syncDirectory(path)));
}

/** Names that a run gave or took which was killed before it made them durable. Throws as the disk does, but for directories that cannot be had. */
export async function makeNamesDurable(disk: SyncDisk, directories: readonly DiskPath[]): Promise<void> {
  // What somebody moved elsewhere meanwhile is in it, too.
  if (await tried(disk.syncAll?.())) return;
  await syncDirectories(disk, new Map(directories.map((path) => [path.join("/"), path])).values());
}

export async function syncDirectories(disk: SyncDisk, paths: Iterable<DiskPath>): Promise<void> {
  for (const path of paths) {
    await disk.syncDirectory(path).catch((error: unknown) => {
      // Removed since, or not to be opened by who may only look.
      if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "EINVAL")) throw error;
    });
  }
}

function* recent({ objectOf }: Matching, nowNs: bigint): Generator<Found> {
  for (const [found, { entries }] of objectOf) {
    const { stat } = found;
    if (nowNs - stat.ctimeNs > WRITTEN_NS) continue;
    const isSynced = entries.some(({ seen }) => seen.ino === stat.ino && seen.ctimeNs === stat.ctimeNs);
    if (!isSynced) yield found;
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

/** Whether it was done. */
async function tried(work: Promise<void> | undefined): Promise<boolean> {
  try {
    await work;
    return work !== undefined;
  } catch {
    return false;
  }
}

/** Linux writes out what is 30 s old (vm.dirty_expire_centisecs); this long it may take. */
const WRITTEN_NS = 120_000_000_000n;
/** More than so many by one sync of the filesystem, which also writes what others have pending. */
const TOGETHER = 16;
const AT_ONCE = 8;
