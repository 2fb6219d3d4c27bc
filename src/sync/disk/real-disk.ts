/** Opens a folder on this machine the best way available: a synced one, or one for `put` and `get`. */
import { systemDisk } from "../../objects/disk.ts";
import { isLocalKind, kindOfFolder } from "../../objects/file-system.ts";
import { readBoot } from "../../objects/process-identity.ts";
import { loadBeneathAddon } from "./addon.ts";
import { BeneathDisk } from "./beneath-disk.ts";
import type { SyncDisk } from "./disk.ts";
import { PortableDisk, type SetModified } from "./portable-disk.ts";
import { unlocking } from "./unlocking.ts";

export interface RealDiskOptions {
  /** Also handles extended attributes outside user.*. */
  readonly allXattrs: boolean;
  /** Used without the addon. */
  readonly setModified: SetModified;
  /** Whether to write in directories that their owner may not write in (unlocking.ts). */
  readonly unlocks: boolean;
}

export async function openRealDisk(path: string, options: RealDiskOptions): Promise<SyncDisk> {
  const disk = await bestDisk(path, options);
  return options.unlocks ? unlocking(disk) : disk;
}

async function bestDisk(path: string, { allXattrs, setModified }: RealDiskOptions): Promise<SyncDisk> {
  const addon = loadBeneathAddon();
  if (addon !== undefined) {
    const disk = new BeneathDisk(addon, path, { allXattrs, bootAt });
    if (await isAble(disk)) return disk;
  }
  return new PortableDisk(path, setModified);
}

/**
 * Also undefined if the filesystem may lose a rename but keep a later write, as when its disk is unplugged and comes back
 * while the system runs.
 */
async function bootAt(path: string): Promise<string | undefined> {
  const kind = await kindOfFolder(path).catch(() => undefined);
  const boot = isLocalKind(kind) ? await readBoot(systemDisk) : "";
  return boot === "" ? undefined : boot;
}

/** Linux before 5.6 has no openat2, and a sandbox may forbid it. Problems of the folder itself show later. */
async function isAble(disk: SyncDisk): Promise<boolean> {
  try {
    await disk.open();
    await disk.list([]);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code !== "ENOSYS" && code !== "EPERM";
  } finally {
    disk.close();
  }
}
