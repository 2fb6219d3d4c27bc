/** The disk under a block cache: segment files in one folder, and the index beside them. */
import { existsSync, rmSync, statfsSync, statSync, truncateSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../runtime/make-folders.ts";
import type { Clock } from "../base/clock.ts";
import { CACHE_KEEPS_FREE_BYTES } from "../base/limits.ts";
import { type CachedRange, type CacheIndex, removeIndex, SqliteCacheIndex } from "./cache-index.ts";
import { loadFileAddon } from "../runtime/native.ts";
import { SegmentFiles } from "./segment-files.ts";
import { SegmentTail } from "./segment-tail.ts";

/** Calls throw the system's errors; the index throws SQLite's. Implementations: a folder, and a simulated disk. */
export interface CacheStorage {
  /** Opens the index, or makes an empty one and removes a lost one's segments. */
  openIndex(): CacheIndex;
  /** Removes an unreadable index. */
  removeIndex(): void;
  /** Makes a segment's file. */
  create(name: string): Promise<SegmentWriter>;
  /** Fills `target` from `offset` on; returns the bytes read: fewer at the end of the file. ENOENT if the file is gone. */
  read(name: string, offset: number, target: Uint8Array): Promise<number>;
  /**
   * As `read`, of bytes that are in memory, without waiting for the disk. Returns how many those are, from the first on;
   * undefined if the file must be opened first, which is done meanwhile. Absent: unsupported. Throws the system's errors.
   */
  readNow?(name: string, offset: number, target: Uint8Array): number | undefined;
  /** Closes a file that is open for reading, after ongoing reads. */
  forget(name: string): void;
  remove(name: string): void;
  /** The disk space of a segment's file, in bytes; 0 if it is gone. */
  taken(name: string): number;
  /** Frees the disk space of these parts, which then read as zeros. False if the filesystem cannot. */
  freeRanges(name: string, ranges: readonly CachedRange[]): Promise<boolean>;
  /** How much of the disk's free space the cache may take: a part is left for unpublished data. May be negative. */
  spare(): number;
  close(): Promise<void>;
}

export interface SegmentWriter {
  /** Throws the system's errors, ENOENT when another thread removed the file. */
  write(offset: number, parts: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

export class CacheFolder implements CacheStorage {
  readonly #dir: string;
  readonly #files: SegmentFiles;
  readonly #clock: Pick<Clock, "after"> | undefined;
  readonly #readCached = loadFileAddon().readCached;

  constructor(dir: string, clock?: Pick<Clock, "after">) {
    this.#dir = dir;
    this.#clock = clock;
    this.#files = new SegmentFiles(dir, clock);
  }

  openIndex(): CacheIndex {
    makeFolders(this.#dir, 0o700);
    return new SqliteCacheIndex(this.#dir);
  }

  removeIndex(): void {
    removeIndex(this.#dir);
  }

  create(name: string): Promise<SegmentWriter> {
    return SegmentTail.create(join(this.#dir, name), this.#clock);
  }

  read(name: string, offset: number, target: Uint8Array): Promise<number> {
    return this.#files.read(name, offset, target);
  }

  readNow(name: string, offset: number, target: Uint8Array): number | undefined {
    if (this.#readCached === undefined) return 0;
    const file = this.#files.descriptorOf(name);
    return file === undefined ? undefined : this.#readCached(file, offset, target);
  }

  forget(name: string): void {
    this.#files.forget(name);
  }

  /** Truncates it first: another thread may have it open, and its space must be freed now. Reads there become misses. */
  remove(name: string): void {
    const path = join(this.#dir, name);
    if (existsSync(path)) truncateSync(path);
    rmSync(path, { force: true });
  }

  taken(name: string): number {
    return (statSync(join(this.#dir, name), { throwIfNoEntry: false })?.blocks ?? 0) * STAT_BLOCK_BYTES;
  }

  async freeRanges(name: string, ranges: readonly CachedRange[]): Promise<boolean> {
    const { freeRange } = loadFileAddon();
    if (freeRange === undefined) return false;
    const file = await open(join(this.#dir, name), "r+");
    try {
      for (const { offset, length } of ranges) freeRange(file.fd, offset, length);
      return true;
    } catch {
      // The filesystem has no holes.
      return false;
    } finally {
      await file.close();
    }
  }

  spare(): number {
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    return bavail * bsize - Math.min(CACHE_KEEPS_FREE_BYTES, (blocks * bsize) / 4);
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}

/** The unit of `st_blocks`, whatever the filesystem's own (stat(2)). */
const STAT_BLOCK_BYTES = 512;
