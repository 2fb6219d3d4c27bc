/** The blocks of a folder's files: rebuilds blocks that a bucket lost from the files of a synced folder. */
import type { Clock } from "../../base/clock.ts";
import type { Cid } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { isSystemError } from "../../base/system-errors.ts";
import type { Block, BlockSink } from "../../blocks/block-store.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { isOwn } from "../disk/paths.ts";
import { contentOnDisk } from "./local-content.ts";

export interface FolderBlocksOptions {
  /** Called once for each block found. */
  readonly keep: BlockSink["put"];
  /** Called with the bytes of each file read. */
  readonly read?: (bytes: number) => void;
  /** Ends the search. */
  readonly signal?: AbortSignal;
}

/**
 * Finds blocks of `wanted` in the folder's files. Reads every file on its filesystem until all are found. False: some files
 * could not be read, changed meanwhile, or were not reached. Throws what listing the root does.
 */
export async function findBlocksInFolder(
  disk: SyncDisk,
  config: ContentConfig,
  wanted: Iterable<Cid>,
  { keep, read, signal }: FolderBlocksOptions,
): Promise<boolean> {
  const missing = new Set(wanted);
  const sink: BlockSink = {
    put(block) {
      signal?.throwIfAborted();
      return missing.delete(block.cid) ? keep(block) : undefined;
    },
  };
  const passed = { over: false };
  try {
    for await (const file of filesIn(disk, passed)) {
      if (missing.size === 0) break;
      if (file.stat.size <= config.inlineLimit) continue;
      signal?.throwIfAborted();
      const content = await unlessRefused(() => contentOnDisk(disk, file, config, sink));
      passed.over ||= content === undefined;
      read?.(file.stat.size);
    }
  } catch (error) {
    if (signal?.aborted === true) return false;
    throw error;
  }
  return !passed.over;
}

async function* filesIn(disk: SyncDisk, passed: { over: boolean }) {
  const root = await disk.look([]);
  const directories: DiskPath[] = [[]];
  // A directory may be mounted within itself.
  const seen = new Set<bigint>();
  for (let path = directories.pop(); path !== undefined; path = directories.pop()) {
    const list = () => disk.list(path);
    const entries = path.length === 0 ? await list() : await unlessRefused(list);
    passed.over ||= entries === undefined;
    for (const { name, stat } of entries ?? []) {
      const at = [...path, name];
      if (isOwn(at)) continue;
      if (stat.type === "file") yield { path: at, stat };
      if (stat.type !== "directory" || stat.dev !== root?.dev || seen.has(stat.ino)) continue;
      seen.add(stat.ino);
      directories.push(at);
    }
  }
}

/** Undefined if it is gone or the system refuses for any reason: other files may still be readable. */
async function unlessRefused<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

export interface FolderCopiesOptions {
  /** Each search finds at most this much, plus one block. */
  readonly mostBytes: number;
  /** Ends a search. */
  readonly signal: AbortSignal;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Pick<Log, "info">;
}

/** Blocks of a folder, for callers that request missing ones repeatedly until all are there. */
export class FolderCopies {
  readonly #disk: SyncDisk;
  readonly #options: FolderCopiesOptions;
  /** Blocks not found in the folder; #sinceMs tells when the first of them was missed. */
  readonly #nowhere = new Set<Cid>();
  #sinceMs = 0;

  constructor(disk: SyncDisk, options: FolderCopiesOptions) {
    this.#disk = disk;
    this.#options = options;
  }

  /** Empty if the folder cannot be listed, or recently lacked one of them: the others are then useless. */
  async find(config: ContentConfig, cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const { mostBytes, clock, log, signal } = this.#options;
    const found = new Map<Cid, Uint8Array>();
    if (clock.monotonicMs() - this.#sinceMs > FORGET_MS) this.#nowhere.clear();
    if (cids.some((cid) => this.#nowhere.has(cid))) return found;
    log.info("Searching the folder for blocks that the bucket lost.", { blocks: cids.length });
    const enough = new AbortController();
    let bytes = 0;
    const keep = (block: Block) => {
      found.set(block.cid, block.bytes);
      bytes += block.bytes.length;
      if (bytes >= mostBytes) enough.abort();
    };
    const options = { keep, signal: AbortSignal.any([signal, enough.signal]) };
    const isWhole = await unlessRefused(() => findBlocksInFolder(this.#disk, config, cids, options));
    if (isWhole !== true) return found;
    if (this.#nowhere.size === 0) this.#sinceMs = clock.monotonicMs();
    for (const cid of cids) if (!found.has(cid)) this.#nowhere.add(cid);
    return found;
  }
}

/** Blocks that were not found may have come since. */
const FORGET_MS = 10 * 60_000;
