/** The disk under a block cache: segment files in one folder, and the index beside them. */
import { existsSync, mkdirSync, rmSync, statfsSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { CACHE_KEEPS_FREE_BYTES } from "../base/limits.ts";
import { removeIndex, SqliteCacheIndex } from "./cache-index.ts";
import type { CacheIndex } from "./cache-index.ts";
import { SegmentFiles } from "./segment-files.ts";
import { SegmentTail } from "./segment-tail.ts";

/** Calls throw the system's errors, and those of the index SQLite's. Implementations: a folder, and a simulated disk. */
export interface CacheStorage {
  /** Opens the index or makes an empty one, then without the segments of a lost one. */
  openIndex(): CacheIndex;
  /** Removes an index that cannot be read. */
  removeIndex(): void;
  /** Makes a segment's file. */
  create(name: string): Promise<SegmentWriter>;
  /** Fills `target` from `offset` on; how far: less where the file ends. ENOENT for a file that is gone. */
  read(name: string, offset: number, target: Uint8Array): Promise<number>;
  /** Closes a file that is open for reading; reads under way end first. */
  forget(name: string): void;
  remove(name: string): void;
  /** What the cache may take of the disk's free space: a part stays for unpublished data. May be negative. */
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

  /** Emptied first: another thread may hold it open, and its space must come back now. Reading it there is a miss. */
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
