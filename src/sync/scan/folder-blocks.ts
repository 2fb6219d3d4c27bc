/** The blocks of the files in a folder: what a bucket lost, and a synced folder still has the files of, is made of them again. */
import type { Cid } from "../../base/ids.ts";
import type { BlockSink } from "../../blocks/block-store.ts";
import type { ContentConfig } from "../../content/config.ts";
import { failedWith } from "../../objects/disk.ts";
import { type DiskPath, REFUSALS, type SyncDisk } from "../disk/disk.ts";
import { isOwn } from "../disk/paths.ts";
import { contentOnDisk } from "./local-content.ts";

/**
 * Those of `wanted` that the folder's files have, in portions of some `portionBytes`. Reads every file until all are found. Throws what
 * listing the root does; what cannot be read, or changes meanwhile, is passed over.
 */
export async function* blocksInFolder(
  disk: SyncDisk,
  config: ContentConfig,
  wanted: Iterable<Cid>,
  portionBytes: number,
): AsyncGenerator<ReadonlyMap<Cid, Uint8Array>> {
  const missing = new Set(wanted);
  let portion = new Map<Cid, Uint8Array>();
  let bytes = 0;
  const sink: BlockSink = {
    put(block) {
      if (bytes >= portionBytes || !missing.delete(block.cid)) return;
      portion.set(block.cid, block.bytes);
      bytes += block.bytes.length;
    },
  };
  for await (const file of filesIn(disk)) {
    if (file.stat.size <= config.inlineLimit) continue;
    for (;;) {
      await unlessRefused(() => contentOnDisk(disk, file, config, sink));
      if (missing.size > 0 && bytes < portionBytes) break;
      yield portion;
      if (missing.size === 0) return;
      portion = new Map();
      bytes = 0;
    }
  }
  if (portion.size > 0) yield portion;
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
