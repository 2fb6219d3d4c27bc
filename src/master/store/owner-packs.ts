/** One owner's blocks in pack files with an index: FiledBlocks while its files are open. */
import { join } from "node:path";
import { nextTurn, SerialQueue } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../base/limits.ts";
import { INDEX_STEP } from "../limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { isDiskFull } from "../../base/system-errors.ts";
import type { Block } from "../../blocks/block-store.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import type { Databases } from "../../objects/databases.ts";
import type { Root } from "../../roots/root-store.ts";
import { codecOf, digestKey, digestOf } from "../../format/blocks/cid.ts";
import { type BlockIndex, type IndexedBlock, isIndexFull, openIndex, type PackPlacement } from "./block-index.ts";
import { type BlockReaderOptions, readBlocks } from "./block-reader.ts";
import { BlockWriter, type FreshBlock, type WrittenBatch } from "./block-writer.ts";
import type { FiledBlocks, PutCounts, Room } from "./owner-blocks.ts";
import type { Leases } from "./leases.ts";
import { OwnerCollection } from "./owner-collection.ts";
import { emptyPacks, Repacking, type RepackingOptions } from "./repacking.ts";
import { recover, type Recovered, type RecoveryOptions } from "./recovery.ts";
import type { Unindexed } from "./unindexed.ts";

export interface OwnerPacksOptions extends Ports, Pick<RecoveryOptions, "disk" | "handles" | "packBytes"> {
  /** The owner's folder, which must exist; contains `pack/` and `index.db`. */
  readonly dir: string;
  readonly databases: Databases;
  readonly leases: Leases;
}

export function indexPath(dir: string): string {
  return join(dir, "index.db");
}

export function packsFolder(dir: string): string {
  return join(dir, "pack");
}

/** Completed nodes remembered in memory while the index cannot be written; beyond this a root's check fails. */
export const MAX_UNNOTED = 50_000;

/** Calls throw the system's errors and SQLite's, besides those of the port. */
export class OwnerPacks implements FiledBlocks {
  readonly #options: OwnerPacksOptions;
  readonly #index: BlockIndex;
  readonly #writer: BlockWriter;
  readonly #reader: BlockReaderOptions;
  readonly #pending = new Map<string, Promise<void>>();
  readonly #unindexed: Unindexed;
  /** Completed nodes that the index could not record: otherwise walks would enter them again and again. */
  readonly #unnoted = new Set<string>();
  readonly #reads = new Set<Promise<unknown>>();
  readonly #collections = new SerialQueue();
  readonly #ending = new AbortController();
  /** The number of the collection that is deleting blocks now. */
  #sweeping: number | undefined;

  private constructor(options: OwnerPacksOptions, index: BlockIndex, { current, unindexed }: Recovered) {
    this.#options = options;
    this.#index = index;
    this.#unindexed = unindexed;
    const { disk, handles, random, log, packBytes } = options;
    const folder = packsFolder(options.dir);
    this.#writer = new BlockWriter({
      disk,
      folder,
      random,
      log,
      packBytes,
      current,
      onWritten: (batch) => this.#enter(batch),
    });
    this.#reader = { handles, folder, onDamage: (cid, place) => this.#onDamage(cid, place) };
  }

  /** Opens it in the state that the last process left. */
  static async open(options: OwnerPacksOptions): Promise<OwnerPacks> {
    const { disk, databases, handles, log, dir, packBytes } = options;
    const index = openIndex(indexPath(dir), databases);
    try {
      const leased = options.leases.now();
      return new OwnerPacks(
        options,
        index,
        await recover({ disk, folder: packsFolder(dir), index, handles, log, packBytes, leased }),
      );
    } catch (error) {
      index.close();
      throw error;
    }
  }

  get usedBytes(): number {
    return this.#index.usedBytes + this.#unindexed.usedBytes;
  }

  async put(blocks: readonly Block[]): Promise<PutCounts> {
    if (this.#unindexed.tooMany) this.#unindexed.enterInto(this.#index, this.#options.leases.now());
    const fresh = new Map<string, FreshBlock>();
    const waits = new Set<Promise<void>>();
    const known: Uint8Array[] = [];
    for (const { cid, bytes } of blocks) {
      if (bytes.length > MAX_BLOCK_ACCEPTED) throw tooLong(cid, bytes.length);
      const key = digestKey(cid);
      const pending = this.#pending.get(key);
      if (pending !== undefined) waits.add(pending);
      else if (!fresh.has(key)) {
        const place = this.#find(cid);
        if (place === undefined || place.damaged === 1) fresh.set(key, { cid, bytes, avoid: place?.pack });
        else known.push(digestOf(cid));
      }
    }
    if (known.length > 0) this.#note(() => this.#index.lease(known, this.#options.leases.now()));
    if (fresh.size > 0) waits.add(this.#write(fresh));
    await Promise.all(waits);
    return { stored: fresh.size, known: blocks.length - fresh.size };
  }

  async get(cid: Cid, room?: Room): Promise<Uint8Array> {
    const bytes = (await this.getMany([cid], room)).get(cid);
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  }

  async getMany(cids: readonly Cid[], room?: Room): Promise<Map<Cid, Uint8Array>> {
    const places = new Map<Cid, PackPlacement>();
    for (const cid of cids) {
      const place = this.#find(cid);
      if (place === undefined) throw blockNotFound(cid);
      places.set(cid, place);
    }
    const read = readBlocks(this.#reader, places, room).finally(() => this.#reads.delete(read));
    this.#reads.add(read);
    return read;
  }

  async has(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.#those(cids, (cid) => this.#find(cid)?.damaged === 0);
  }

  async size(cid: Cid): Promise<number | undefined> {
    const place = this.#find(cid);
    return place?.damaged === 0 ? place.length : undefined;
  }

  async complete(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.#those(cids, (cid) => codecOf(cid) !== "raw" && this.#isComplete(cid));
  }

  async markComplete(cids: readonly Cid[]): Promise<void> {
    const nodes = cids.filter((cid) => codecOf(cid) !== "raw");
    for (let at = 0; at < nodes.length; at += INDEX_STEP) {
      if (at > 0) await nextTurn();
      const step = nodes.slice(at, at + INDEX_STEP);
      const noted = this.#note(() => this.#index.markComplete(step.map(digestOf)));
      for (const cid of step) if (!noted || this.#unindexed.find(digestOf(cid)) !== undefined) this.#keep(cid);
    }
  }

  async lease(cids: readonly Cid[]): Promise<void> {
    const now = this.#options.leases.now();
    for (let at = 0; at < cids.length; at += INDEX_STEP) {
      if (at > 0) await nextTurn();
      this.#note(() => this.#index.lease(cids.slice(at, at + INDEX_STEP).map(digestOf), now));
    }
  }

  async hold(cids: readonly Cid[]): Promise<Set<Cid>> {
    // If this cannot be recorded, the call must fail.
    if (this.#sweeping !== undefined) this.#index.marks.markReached(cids.map(digestOf), this.#sweeping);
    return this.has(cids);
  }

  async swapped(bucket: string, root: Root): Promise<boolean> {
    return this.#index.roots.swapped({ bucket, ...root });
  }

  collect<Result>(work: (collecting: OwnerCollection) => Promise<Result>): Promise<Result> {
    return this.#collections.run(async () => {
      try {
        return await this.#collect(work);
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        // Removes packs that an earlier collection left, which needs no writing and may free space for this one.
        const empty = await emptyPacks(this.#index);
        if (empty.size === 0) throw error;
        const swept = new Map([...empty].map((name) => [name, { end: 0, live: 0, empty: true }]));
        const repacking = new Repacking(this.#repackingOptions(), swept, this.#ending.signal);
        await repacking.run(new Map([...empty].map((name) => [name, 0])));
        return await this.#collect(work);
      }
    });
  }

  /** Ends a running collection, because reopening these files waits for it. */
  endCollection(): void {
    this.#ending.abort(
      new SynclineError("store_corrupt", "The index was damaged and is being rebuilt. Collect again."),
    );
  }

  async #collect<Result>(work: (collecting: OwnerCollection) => Promise<Result>): Promise<Result> {
    const { leases } = this.#options;
    this.#unindexed.enterInto(this.#index, leases.now());
    const collection = new OwnerCollection({
      ...this.#repackingOptions(),
      blocks: this,
      leases,
      signal: this.#ending.signal,
      onSweep: (collection) => {
        this.#sweeping = collection;
        this.#unnoted.clear();
      },
    });
    try {
      return await work(collection);
    } finally {
      this.#sweeping = undefined;
    }
  }

  #repackingOptions(): RepackingOptions {
    const { disk, log } = this.#options;
    const reads = () => Promise.allSettled(this.#reads);
    return { index: this.#index, reader: this.#reader, writer: this.#writer, disk, log, reads };
  }

  /** Closes it, after ongoing writes. */
  async close(): Promise<void> {
    await this.#writer.close();
    this.#index.close();
  }

  async #write(fresh: ReadonlyMap<string, FreshBlock>): Promise<void> {
    const written = this.#writer.write([...fresh.values()]);
    for (const key of fresh.keys()) this.#pending.set(key, written);
    try {
      await written;
    } finally {
      for (const key of fresh.keys()) this.#pending.delete(key);
    }
  }

  #enter({ pack, sealed, end, rows }: WrittenBatch): void {
    this.#unindexed.add({ pack: { name: pack, sealed: sealed ? 1 : 0, end }, rows });
    try {
      this.#unindexed.enterInto(this.#index, this.#options.leases.now());
    } catch (error) {
      this.#options.log.error("could not write an owner's block index", {
        dir: this.#options.dir,
        waiting: this.#unindexed.size,
        error: describeError(error),
      });
    }
  }

  #isComplete(cid: Cid): boolean {
    return this.#index.isComplete(digestOf(cid)) || (this.#unnoted.size > 0 && this.#unnoted.has(digestKey(cid)));
  }

  #keep(cid: Cid): void {
    if (this.#unnoted.size >= MAX_UNNOTED) {
      throw new SynclineError("disk_full", "No space left to record the progress of a root check.");
    }
    this.#unnoted.add(digestKey(cid));
  }

  #find(cid: Cid): IndexedBlock | undefined {
    const digest = digestOf(cid);
    const place = this.#index.find(digest);
    if (place?.damaged === 0) return place;
    const unindexed = this.#unindexed.find(digest);
    return unindexed === undefined ? place : { ...unindexed, damaged: 0 };
  }

  #onDamage(cid: Cid, place: PackPlacement): void {
    this.#options.log.error("a block is damaged", { cid, pack: place.pack, offset: place.offset });
    this.#note(() => this.#index.markDamaged(digestOf(cid), place));
  }

  /** Records what can be found out again; false if the disk is full. */
  #note(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      if (!isIndexFull(error)) throw error;
      this.#options.log.warn("no space for an owner's block index", { dir: this.#options.dir });
      return false;
    }
  }

  async #those(cids: readonly Cid[], test: (cid: Cid) => boolean): Promise<Set<Cid>> {
    const found = new Set<Cid>();
    for (const [index, cid] of cids.entries()) {
      if (index > 0 && index % INDEX_STEP === 0) await nextTurn();
      if (test(cid)) found.add(cid);
    }
    return found;
  }
}

function tooLong(cid: Cid, bytes: number): SynclineError {
  return new SynclineError("limit_exceeded", `Block ${cid} has ${bytes} bytes; the limit is ${MAX_BLOCK_ACCEPTED}.`);
}
