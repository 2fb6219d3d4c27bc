/** The blocks of the files in a folder: what a bucket lost, and a synced folder still has the files of, is made of them again. */
import type { Cid } from "../../base/ids.ts";
import type { BlockSink } from "../../blocks/block-store.ts";
import type { ContentConfig } from "../../content/config.ts";
import { failedWith } from "../../objects/disk.ts";
import { type DiskPath, REFUSALS, type SyncDisk } from "../disk/disk.ts";
import { isOwn } from "../disk/paths.ts";
import { contentOnDisk } from "./local-content.ts";

export interface FolderBlocksOptions {
  /** Gets each block once. */
  readonly keep: BlockSink["put"];
  /** Told of the bytes of each file that was read. */
  readonly read?: (bytes: number) => void;
}

/**
 * Finds those of `wanted` that the folder's files have. Reads every file until all are found. Throws what listing the root does; what
 * cannot be read, or changes meanwhile, is passed over.
 */
export async function findBlocksInFolder(
  disk: SyncDisk,
  config: ContentConfig,
  wanted: Iterable<Cid>,
  { keep, read }: FolderBlocksOptions,
): Promise<void> {
  const missing = new Set(wanted);
  const sink: BlockSink = { put: (block) => (missing.delete(block.cid) ? keep(block) : undefined) };
  for await (const file of filesIn(disk)) {
    if (missing.size === 0) return;
    if (file.stat.size <= config.inlineLimit) continue;
    await unlessRefused(() => contentOnDisk(disk, file, config, sink));
    read?.(file.stat.size);
  }
}

async function* filesIn(disk: SyncDisk) {
  const directories: DiskPath[] = [[]];
  for (let path = directories.pop(); path !== undefined; path = directories.pop()) {
    const list = () => disk.list(path);
    const entries = path.length === 0 ? await list() : await unlessRefused(list);
    for (const { name, stat } of entries ?? []) {
      const at = [...path, name];
      if (stat.type === "directory" && !isOwn(at)) directories.push(at);
      if (stat.type === "file") yield { path: at, stat };
    }
  }
}

/** Undefined where the disk refuses it, or it is gone. */
async function unlessRefused<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (failedWith(error, ...REFUSALS, "ENOENT", "ENOTDIR", "ELOOP", "EIO")) return undefined;
    throw error;
  }
}
