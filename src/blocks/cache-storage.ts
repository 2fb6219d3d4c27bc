/** The disk under a block cache: segment files in one folder, and the index beside them. */
import { existsSync, mkdirSync, rmSync, statfsSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { CACHE_KEEPS_FREE_BYTES } from "../base/limits.ts";
import { removeIndex, SqliteCacheIndex } from "./cache-index.ts";
import type { CacheIndex } from "./cache-index.ts";
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
  /** Closes a file that is open for reading, after ongoing reads. */
  forget(name: string): void;
  remove(name: string): void;
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

  constructor(dir: string, clock?: Pick<Clock, "after">) {
    this.#dir = dir;
    this.#clock = clock;
    this.#files = new SegmentFiles(dir, clock);
  }

  openIndex(): CacheIndex {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
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

  forget(name: string): void {
    this.#files.forget(name);
  }

  /** Truncates it first: another thread may have it open, and its space must be freed now. Reads there become misses. */
  remove(name: string): void {
    const path = join(this.#dir, name);
    if (existsSync(path)) truncateSync(path);
    rmSync(path, { force: true });
  }

  spare(): number {
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    return bavail * bsize - Math.min(CACHE_KEEPS_FREE_BYTES, (blocks * bsize) / 4);
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}
