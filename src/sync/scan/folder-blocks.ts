/** The blocks of the files in a folder: what a bucket lost, and a synced folder still has the files of, is made of them again. */
import type { Cid } from "../../base/ids.ts";
import type { Block, BlockSink } from "../../blocks/block-store.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { isOwn } from "../disk/paths.ts";
import { contentOnDisk } from "./local-content.ts";

export interface FolderBlocksOptions {
  /** Gets each block once. */
  readonly keep: BlockSink["put"];
  /** Told of the bytes of each file that was read. */
  readonly read?: (bytes: number) => void;
}

/**
 * Finds those of `wanted` that the folder's files have. Reads every file of its filesystem until all are found. Throws what listing the root
 * does; what cannot be read, or changes meanwhile, is passed over.
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
  const root = await disk.look([]);
  const directories: DiskPath[] = [[]];
  // One may be mounted within itself.
  const seen = new Set<bigint>();
  for (let path = directories.pop(); path !== undefined; path = directories.pop()) {
    const list = () => disk.list(path);
    const entries = path.length === 0 ? await list() : await unlessRefused(list);
    for (const { name, stat } of entries ?? []) {
      const at = [...path, name];
      if (stat.dev !== root?.dev || isOwn(at)) continue;
      if (stat.type === "file") yield { path: at, stat };
      if (stat.type !== "directory" || seen.has(stat.ino)) continue;
      seen.add(stat.ino);
      directories.push(at);
    }
  }
}

/** Undefined where the system refuses it, for whatever reason, or it is gone: others may still be had. */
async function unlessRefused<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^E[A-Z]/.test(error.code);
}

/** Blocks of a folder for who has use for all that it asks for, or for none. */
export class FolderCopies {
  readonly #disk: SyncDisk;
  readonly #mostBytes: number;
  /** Were looked for: whoever asks again and again has the folder read once. */
  readonly #nowhere = new Set<Cid>();

  /** Finds `mostBytes` and one block at a time at most. */
  constructor(disk: SyncDisk, mostBytes: number) {
    this.#disk = disk;
    this.#mostBytes = mostBytes;
  }

  /** None where the folder cannot be listed, or did not have one of them before. */
  async find(config: ContentConfig, cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    if (cids.some((cid) => this.#nowhere.has(cid))) return found;
    let bytes = 0;
    const keep = (block: Block) => {
      if (bytes >= this.#mostBytes) return;
      found.set(block.cid, block.bytes);
      bytes += block.bytes.length;
    };
    await unlessRefused(() => findBlocksInFolder(this.#disk, config, cids, { keep }));
    if (bytes < this.#mostBytes) for (const cid of cids) if (!found.has(cid)) this.#nowhere.add(cid);
    return found;
  }
}
