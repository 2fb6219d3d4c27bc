/**
 * Blocks of pinned files, or of files in use, which no cache evicts: one file per block, in one folder, outside the cache's
 * limit. Any number of threads may read while one writes. Like a cache, the folder may be deleted at any time: blocks are
 * verified when read. They are not fsynced, so each boot's first agent checks those of pinned files. Segments, as the cache
 * has, would be rewritten when a block is dropped.
 */
import { statfsSync, statSync } from "node:fs";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../runtime/make-folders.ts";
import { orElse, unless } from "../base/unless.ts";
import { mapConcurrent } from "../base/concurrency.ts";
import type { Cid } from "../base/ids.ts";
import { CACHE_KEEPS_FREE_BYTES } from "../base/limits.ts";
import { describeError, type Log } from "../base/log.ts";
import { failedWith } from "../base/system-errors.ts";
import { parseCid } from "../format/blocks/cid.ts";
import type { Block, SizedBlock } from "./block-store.ts";
import type { BlockCache } from "./cached-reader.ts";
import { isIntact } from "./verified-reader.ts";

/** Concurrent system calls; Node.js has four threads for them. */
const AT_ONCE = 8;
const UNFINISHED = ".tmp";

export class PinnedBlocks {
  readonly #dir: string;
  readonly #log: Log;
  #reported = false;

  /** The first block written creates the folder. */
  constructor(dir: string, log: Log) {
    this.#dir = dir;
    this.#log = log;
  }

  /** The blocks among `cids` that it holds intact. Never rejects. */
  async held(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    await mapConcurrent(cids, AT_ONCE, async (cid) => {
      const bytes = await this.#read(cid);
      if (bytes !== undefined) found.set(cid, bytes);
    });
    return found;
  }

  /** All blocks and their sizes. */
  async list(): Promise<Map<Cid, number>> {
    const sizes = new Map<Cid, number>();
    await mapConcurrent(await this.#names(), AT_ONCE, async (name) => {
      const cid = namedCid(name);
      const size = cid === undefined ? undefined : await sizeOf(join(this.#dir, name));
      if (cid !== undefined && size !== undefined) sizes.set(cid, size);
    });
    return sizes;
  }

  /** Removes what a crash left unfinished. Nothing else may write. */
  async removeUnfinished(): Promise<void> {
    const unfinished = (await this.#names()).filter((name) => namedCid(name) === undefined);
    await mapConcurrent(unfinished, AT_ONCE, (name) => rm(join(this.#dir, name), { force: true }));
  }

  /** Changes when a block is written or dropped, by any thread. Two changes within some milliseconds may count as one. */
  version(): bigint {
    return statSync(this.#dir, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n;
  }

  /** Throws the system's errors. */
  async write({ cid, bytes }: Block): Promise<void> {
    makeFolders(this.#dir, 0o700);
    const path = join(this.#dir, cid);
    await writeFile(path + UNFINISHED, bytes, { mode: 0o600 });
    await rename(path + UNFINISHED, path);
  }

  async drop(cid: Cid): Promise<void> {
    await rm(join(this.#dir, cid), { force: true });
  }

  /** How much of the disk's free space it may take: part of it is reserved for unpublished data. May be negative. */
  spare(): number {
    makeFolders(this.#dir, 0o700);
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    return bavail * bsize - Math.min(CACHE_KEEPS_FREE_BYTES, (blocks * bsize) / 4);
  }

  async #read(cid: Cid): Promise<Uint8Array | undefined> {
    const path = join(this.#dir, cid);
    try {
      // Most blocks are not pinned, and this costs less than a file that cannot be opened.
      if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
      const bytes = await readFile(path);
      if (isIntact(cid, bytes)) return bytes;
      await this.drop(cid);
    } catch (error) {
      if (failedWith(error, "ENOENT")) return undefined;
      if (!this.#reported)
        this.#log.warn(`Cannot read a block that is kept here: ${describeError(error)}`, { dir: this.#dir });
      this.#reported = true;
    }
    return undefined;
  }

  async #names(): Promise<string[]> {
    return unless("ENOENT", () => readdir(this.#dir), []);
  }
}

/** Looks for pinned blocks only after the cache, so that they cost nothing when the cache has the block. */
export class PinnedCache implements BlockCache {
  readonly #cache: Required<BlockCache>;
  readonly #pinned: readonly PinnedBlocks[];

  constructor(cache: Required<BlockCache>, pinned: readonly PinnedBlocks[]) {
    this.#cache = cache;
    this.#pinned = pinned;
  }

  async held(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = await this.#cache.held(cids);
    for (const pinned of this.#pinned) {
      const others = cids.filter((cid) => !found.has(cid));
      if (others.length > 0) for (const [cid, bytes] of await pinned.held(others)) found.set(cid, bytes);
    }
    return found;
  }

  readInto(blocks: readonly SizedBlock[], target: Uint8Array): Promise<number> {
    return this.#cache.readInto(blocks, target);
  }

  readPart(block: SizedBlock, offset: number, target: Uint8Array): boolean {
    return this.#cache.readPart(block, offset, target);
  }

  isAtHand(cid: Cid): boolean {
    return this.#cache.isAtHand(cid);
  }

  keep(blocks: readonly Block[]): void {
    this.#cache.keep(blocks);
  }

  keepInTurn(blocks: readonly Block[]): Promise<void> | undefined {
    return this.#cache.keepInTurn(blocks);
  }
}

/** Undefined if the file does not exist. */
async function sizeOf(path: string): Promise<number | undefined> {
  return unless("ENOENT", async () => (await stat(path)).size);
}

function namedCid(name: string): Cid | undefined {
  return orElse(undefined, () => parseCid(name));
}
