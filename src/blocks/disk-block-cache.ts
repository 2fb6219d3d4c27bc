/**
 * Blocks kept on disk so that they need not be fetched again: append-only segment files and an index of them.
 *
 * It is only a cache: blocks are verified when read and dropped if damaged, the least recently used segments are dropped
 * when it is full, its folder may be deleted at any time, and its failures never reach readers. Two threads use two caches
 * over one folder: each appends to segments of its own. It shares its disk with unpublished changes, which have no other place,
 * so it leaves some of the disk free. Uploads are cached too, for reading offline and healing the bucket, but not a synced
 * folder's contents: `verify --repair` reads its files.
 */
import type { Clock } from "../base/clock.ts";
import type { Cid } from "../base/ids.ts";
import { CACHE_BACKLOG_BYTES, CACHE_SEGMENT_BYTES } from "../base/limits.ts";
import { describeError, type Log } from "../base/log.ts";
import { failedWith } from "../base/system-errors.ts";
import { digestOf } from "../format/blocks/cid.ts";
import { Backlog, totalBytes } from "./backlog.ts";
import type { Block, SizedBlock } from "./block-store.ts";
import { type CachedPlace, type CacheIndex, isUnreadableIndex } from "./cache-index.ts";
import { adjacentRuns, bytesOf, firstWanted, nearRuns, type PlacedBlock } from "./cache-runs.ts";
import { releaseBlocks } from "./cache-release.ts";
import { CacheFolder, type CacheStorage } from "./cache-storage.ts";
import { CacheTail } from "./cache-tail.ts";
import type { BlockCache } from "./cached-reader.ts";
import { PartReads } from "./part-reads.ts";
import { isIntact } from "./verified-reader.ts";

export interface DiskBlockCacheOptions {
  readonly dir: string;
  /** The most bytes that the segments may take. */
  readonly bytes: number;
  /** How many of `bytes` something else uses now. */
  readonly taken?: () => number;
  readonly log: Log;
  /**
   * Absent: each batch is written at once instead of being joined with following ones, files stay open, and
   * no parts are read.
   */
  readonly clock?: Pick<Clock, "sleep" | "after" | "monotonicMs">;
  /** Replaces the folder: for simulations. */
  readonly storage?: CacheStorage;
  /** Replaces the verification of blocks: for simulations that must detect damage. */
  readonly isIntact?: typeof isIntact;
}

export class DiskBlockCache implements BlockCache {
  readonly #dir: string;
  readonly #limit: number;
  readonly #taken: () => number;
  readonly #log: Log;
  readonly #disk: CacheStorage;
  readonly #isIntact: typeof isIntact;
  readonly #backlog: Backlog;
  readonly #parts: PartReads | undefined;
  #index: CacheIndex | undefined;
  readonly #tail: CacheTail;
  readonly #used = new Set<number>();
  #readsSinceUse = 0;
  #reported = false;
  #closed = false;
  #written: ((blocks: readonly PlacedBlock[]) => void) | undefined;

  /** Opens or makes the folder; if that fails, the cache stays empty and retries when there is something to keep. */
  constructor(options: DiskBlockCacheOptions) {
    this.#dir = options.dir;
    this.#limit = options.bytes;
    this.#taken = options.taken ?? (() => 0);
    this.#log = options.log;
    this.#disk = options.storage ?? new CacheFolder(options.dir, options.clock);
    this.#tail = new CacheTail(this.#disk, Math.min(CACHE_SEGMENT_BYTES, this.#limit / 16));
    this.#isIntact = options.isIntact ?? isIntact;
    this.#backlog = new Backlog(options.clock, (blocks) => this.#storeOrFail(blocks));
    this.#parts = options.clock && new PartReads(this.#disk, options.clock);
    this.#attempt(() => this.#ready());
  }

  /** Bytes that the segments take now. */
  get bytes(): number {
    return this.#attempt(() => this.#index?.bytes) ?? 0;
  }

  async held(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    for (const cid of cids) {
      // Just-published blocks are read at once, when the bucket may already be unreachable.
      const bytes = this.#backlog.get(cid);
      if (bytes !== undefined) found.set(cid, bytes);
    }
    const wanted = this.#attempt(() => this.#places(cids.filter((cid) => !found.has(cid)))) ?? [];
    await Promise.all(nearRuns(wanted).map((run) => this.#readRun(run, found)));
    this.#attempt(() => this.#markUsed());
    return found;
  }

  async readInto(blocks: readonly SizedBlock[], target: Uint8Array): Promise<number> {
    const runs = adjacentRuns(this.#attempt(() => this.#reading(() => firstWanted(blocks, this.#index), blocks)) ?? []);
    let at = 0;
    const reads = runs.map((run) => this.#readRunInto(run, target.subarray(at, (at += bytesOf(run)))));
    let intact = 0;
    for (const [index, bytes] of (await Promise.all(reads)).entries()) {
      intact += bytes;
      if (bytes < bytesOf(runs[index] ?? [])) break;
    }
    this.#attempt(() => this.#markUsed());
    return intact;
  }

  readPart(block: SizedBlock, offset: number, target: Uint8Array): boolean {
    const waiting = this.#backlog.get(block.cid);
    if (waiting?.length === block.length) {
      target.set(waiting.subarray(offset, offset + target.length));
      return true;
    }
    const place = this.#attempt(() => this.#index && this.#parts?.read(this.#index, block, offset, target));
    if (place !== undefined) this.#used.add(place.segment);
    return place !== undefined;
  }

  /** Tells `listener` of the larger blocks that were just written: for `believe` in another thread. */
  onWritten(listener: (blocks: readonly PlacedBlock[]) => void): void {
    this.#written = listener;
  }

  /** Another thread's cache over this folder has just written these blocks. */
  believe(blocks: readonly PlacedBlock[]): void {
    for (const block of blocks) this.#parts?.note(block);
  }

  isAtHand(cid: Cid): boolean {
    return this.#backlog.get(cid) !== undefined || this.#parts?.isAtHand(cid) === true;
  }

  keep(blocks: readonly Block[]): void {
    if (!this.#closed) this.#backlog.add(blocks, this.#backlogBytes);
  }

  keepInTurn(blocks: readonly Block[]): Promise<void> | undefined {
    return this.#closed ? undefined : this.#backlog.addInTurn(blocks, this.#backlogBytes);
  }

  /** Drops what no longer fits, when others need the disk's space. Best effort, asynchronous. */
  trim(): void {
    if (!this.#closed) this.#backlog.hurry();
  }

  /** Drops these blocks. Returns the freed disk space in bytes, which may be less than theirs: a disk frees whole pages. */
  async release(cids: readonly Cid[]): Promise<number> {
    await this.settled();
    const tail = this.#tail.segment;
    const freed = this.#attempt(() => this.#index && releaseBlocks(this.#index, this.#disk, this.#places(cids), tail));
    return (await freed?.catch((error: unknown) => void this.#failed(error))) ?? 0;
  }

  /** Resolves when everything that `keep` has taken is written or given up. */
  settled(): Promise<void> {
    return this.#backlog.settled();
  }

  /** Closes the cache, after ongoing reads and writes. */
  async close(): Promise<void> {
    this.#readsSinceUse = READS_PER_USE;
    this.#attempt(() => this.#markUsed());
    this.#closed = true;
    this.#backlog.letGo();
    await this.settled();
    await this.#forgetFiles();
    this.#index?.close();
    this.#index = undefined;
  }

  get #backlogBytes(): number {
    return Math.min(CACHE_BACKLOG_BYTES, this.#limit);
  }

  /** The index; reopened as an empty one if it was deleted. */
  #ready(): CacheIndex {
    if (this.#index?.isPresent() === false) this.#reset();
    return (this.#index ??= this.#disk.openIndex());
  }

  #places(cids: readonly Cid[]): PlacedBlock[] {
    const index = this.#index;
    if (index === undefined) return [];
    const look = () =>
      [...new Set(cids)].flatMap((cid) => {
        const digest = digestOf(cid);
        const place = index.find(digest);
        return place === undefined ? [] : [{ cid, digest, place }];
      });
    return this.#reading(look, cids);
  }

  /** Runs an index look-up. */
  #reading<Result>(look: () => Result, { length }: readonly unknown[]): Result {
    return this.#index === undefined || length < 2 ? look() : this.#index.reading(look);
  }

  async #readRun(run: readonly PlacedBlock[], found: Map<Cid, Uint8Array>): Promise<void> {
    const [first, last] = [run[0]?.place, run.at(-1)?.place];
    if (first === undefined || last === undefined) return;
    try {
      const room = Buffer.allocUnsafeSlow(last.offset + last.length - first.offset);
      const bytes = room.subarray(0, await this.#disk.read(first.name, first.offset, room));
      for (const each of run) {
        const { cid, digest, place } = each;
        const from = place.offset - first.offset;
        // Copied if several were read together, so that keeping one does not keep the others in memory.
        const block = run.length === 1 ? bytes : Uint8Array.prototype.slice.call(bytes, from, from + place.length);
        if (block.length === place.length && this.#isIntact(cid, block)) {
          found.set(cid, block);
          this.#parts?.note(each);
        } else this.#attempt(() => this.#index?.dropBlock(digest, place));
      }
      this.#used.add(first.segment);
    } catch (error) {
      this.#unread(first, error);
    }
  }

  /** Fills `target` with adjacent blocks; returns the bytes of the intact ones, from the first on. */
  async #readRunInto(run: readonly PlacedBlock[], target: Uint8Array): Promise<number> {
    const first = run[0]?.place;
    if (first === undefined) return 0;
    let intact = 0;
    try {
      const read = await this.#disk.read(first.name, first.offset, target);
      for (const each of run) {
        const { cid, digest, place } = each;
        const end = intact + place.length;
        if (end > read || !this.#isIntact(cid, target.subarray(intact, end))) {
          this.#attempt(() => this.#index?.dropBlock(digest, place));
          break;
        }
        intact = end;
        this.#parts?.note(each);
      }
      this.#used.add(first.segment);
    } catch (error) {
      this.#unread(first, error);
    }
    return intact;
  }

  #unread(place: CachedPlace, error: unknown): void {
    if (failedWith(error, "ENOENT")) this.#attempt(() => this.#lost(place));
    else this.#failed(error);
  }

  /** A segment's file is gone, alone or with the whole folder. */
  #lost({ segment, name }: CachedPlace): void {
    if (this.#index?.isPresent() === false) return this.#reset();
    this.#index?.dropSegment(segment);
    this.#disk.forget(name);
  }

  #markUsed(): void {
    this.#readsSinceUse += 1;
    if (this.#readsSinceUse < READS_PER_USE || this.#used.size === 0) return;
    this.#index?.use(this.#used);
    this.#used.clear();
    this.#readsSinceUse = 0;
  }

  async #storeOrFail(blocks: readonly Block[]): Promise<boolean> {
    try {
      const isStored = await this.#store(blocks);
      this.#reported = false;
      return isStored;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  /** False: they do not fit. */
  async #store(blocks: readonly Block[]): Promise<boolean> {
    const index = this.#ready();
    const fresh = this.#reading(() => blocks.filter(({ cid }) => index.find(digestOf(cid)) === undefined), blocks);
    const bytes = totalBytes(fresh);
    if (fresh.length > 0) {
      this.#readsSinceUse = READS_PER_USE;
      this.#markUsed();
    }
    const fits = await this.#makeRoom(index, bytes);
    if (fresh.length === 0 || !fits) return fits;
    const written = await this.#tail.append(index, fresh);
    this.believe(written);
    const larger = written.filter(({ place }) => place.length >= WORTH_TELLING_BYTES);
    if (larger.length > 0) this.#written?.(larger);
    return true;
  }

  /** Drops the oldest segments until `bytes` more fit. False: they never will. */
  async #makeRoom(index: CacheIndex, bytes: number): Promise<boolean> {
    for (;;) {
      const room = Math.min(Math.max(0, this.#limit - this.#taken()), index.bytes + this.#disk.spare());
      if (index.bytes + bytes <= room) return true;
      const oldest = index.leastRecent();
      if (oldest === undefined) return false;
      if (oldest.id === this.#tail.segment) await this.#tail.close();
      index.dropSegment(oldest.id);
      this.#disk.forget(oldest.name);
      this.#disk.remove(oldest.name);
    }
  }

  async #forgetFiles(): Promise<void> {
    await this.#tail.close().catch((error: unknown) => this.#failed(error));
    await this.#disk.close();
  }

  /** Continues as an empty cache, reopened by the next block to keep. */
  #reset(): void {
    void this.#forgetFiles();
    this.#used.clear();
    this.#index?.close();
    this.#index = undefined;
  }

  #attempt<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  /** Logs a failure once until it works again; an unreadable index is rebuilt. */
  #failed(error: unknown): void {
    if (!this.#reported) this.#log.warn("The block cache failed.", { error: describeError(error), dir: this.#dir });
    this.#reported = true;
    if (!isUnreadableIndex(error)) return;
    this.#reset();
    this.#disk.removeIndex();
  }
}

/** A smaller block is read whole and verified in little time. */
const WORTH_TELLING_BYTES = 32 * 1024;
/** Segment uses are written to the index with every batch of new blocks, and after this many reads. */
const READS_PER_USE = 64;
