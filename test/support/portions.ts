/** Folders that sync in portions. */
import type { FileName } from "../../src/base/ids.ts";
import type { Most } from "../../src/sync/scan/walk.ts";
import type { MemorySyncDisk } from "../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, path, settle, twoFolders, type SyncedFolder, type SyncWorld } from "./sync-world.ts";

export const byNumber = (things: number): Most => ({ things, bytes: Infinity });
/** Writes files, and makes their directories. */
export function write(disk: MemorySyncDisk, files: Readonly<Record<string, string>>): void {
  for (const [at, text] of Object.entries(files)) {
    const names = at.split("/");
    for (let depth = 1; depth < names.length; depth++) {
      const above = names.slice(0, depth) as FileName[];
      if (!disk.tree().has(above.join("/"))) disk.make(above);
    }
    disk.write(path(at), text);
  }
}
/** Two synced folders with these files. */
export async function settled(files: Readonly<Record<string, string>> = {}) {
  const { world, a, b } = await twoFolders();
  write(a.disk, files);
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  return { world, a, b };
}

/** The bucket's tree after each swap in the next pass of `a`. */
export async function swapsOf({
  world,
  a,
}: {
  readonly world: SyncWorld;
  readonly a: SyncedFolder;
}): Promise<string[]> {
  const trees: string[] = [];
  const look = async () => void trees.push([...(await bucketTree(world.bucket)).keys()].sort().join(" "));
  world.remote.beforeSwap = look;
  await a.sync();
  world.remote.beforeSwap = async () => {};
  await look();
  return trees.slice(1);
}
