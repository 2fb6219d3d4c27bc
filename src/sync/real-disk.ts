/** The folder that is synced, by the best way that this machine has. */
import { readFileSync } from "node:fs";
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
    const disk = new BeneathDisk(addon, path, { allXattrs, boot: bootId() });
    if (await isAble(disk)) return disk;
  }
  return new PortableDisk(path, setModified);
}

/** Of random(4). Undefined where /proc is not there. */
function bootId(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return undefined;
  }
}

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
