/** Counts what is new in a folder before any of it is read, for progress display. */
import { ROOT_ID, type FileId } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import { hasStat, type DiskPath, type DiskStat, type ListedEntry, type SyncDisk } from "../disk/disk.ts";
import type { IgnoreRules } from "./ignore-rules.ts";
import type { NewFileTotals } from "./local-changes.ts";
import { isMount, NONE_APART, NOT_LISTED, type SeenBefore } from "./walk.ts";

/** Directories that cannot be listed count as empty. Throws the disk's other errors. */
export async function countNew(
  disk: SyncDisk,
  rules: IgnoreRules,
  before: Pick<SeenBefore, "looks">,
  isApart = NONE_APART,
): Promise<NewFileTotals> {
  const total = { files: 0, bytes: 0 };
  const linked = new Set<bigint>();
  const below = async (path: DiskPath, above: DiskStat | undefined, id: FileId | undefined): Promise<void> => {
    const looks = id === undefined ? undefined : before.looks(id);
    const entries = await listed(disk, path);
    if (path.length > 0 && (await isApart(path, entries)) !== false) return;
    for (const { name, stat } of entries.filter(hasStat)) {
      const isDirectory = stat.type === "directory";
      const isHidden = above !== undefined && isMount(stat, above);
      if (isHidden || rules.ignores(path.concat(name), isDirectory)) continue;
      const look = looks?.get(name);
      if (isDirectory) await below(path.concat(name), stat, look?.id);
      else if (stat.type === "file" && stat.size > 0 && look === undefined && !linked.has(stat.ino)) {
        if (stat.links > 1) linked.add(stat.ino);
        total.files++;
        total.bytes += stat.size;
      }
    }
  };
  await below([], await disk.look([]), ROOT_ID);
  return total;
}

async function listed(disk: SyncDisk, path: DiskPath): Promise<readonly ListedEntry[]> {
  try {
    return await disk.list(path);
  } catch (error) {
    if (failedWith(error, ...NOT_LISTED)) return [];
    throw error;
  }
}
