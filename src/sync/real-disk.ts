/** The folder that is synced, by the best way that this machine has. */
import { readFileSync, statfsSync } from "node:fs";
import { loadBeneathAddon } from "./addon.ts";
import { BeneathDisk } from "./beneath-disk.ts";
import type { SyncDisk } from "./disk.ts";
import { PortableDisk, type SetModified } from "./portable-disk.ts";

export interface RealDiskOptions {
  /** Attributes of other spaces than user.*, too. */
  readonly allXattrs: boolean;
  /** For where the addon is not. */
  readonly setModified: SetModified;
}

export async function openRealDisk(path: string, { allXattrs, setModified }: RealDiskOptions): Promise<SyncDisk> {
  const addon = loadBeneathAddon();
  if (addon !== undefined) {
    const disk = new BeneathDisk(addon, path, { allXattrs, boot: bootId(path) });
    if (await isAble(disk)) return disk;
  }
  return new PortableDisk(path, setModified);
}

/**
 * Of random(4). Undefined where /proc is not there, or the filesystem may keep a later write and lose a rename before it, as when it is pulled out and
 * comes back while the system runs.
 */
function bootId(path: string): string | undefined {
  try {
    if (!KEEPS_ORDER.has(statfsSync(path).type)) return undefined;
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Numbers of statfs(2): ext2 to ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, overlayfs. */
const KEEPS_ORDER: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0x01021994, 0x794c7630,
]);

/** Linux before 5.6 does not know openat2, and a sandbox may forbid it. What is wrong with the folder itself is found later. */
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
