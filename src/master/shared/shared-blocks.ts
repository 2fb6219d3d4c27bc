/**
 * One owner's blocks at a master without state of its own: packs in an object store, which the arbiter's log names
 * (docs/design/many-masters.md). Other masters store and collect beside it.
 */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import { nextTurn } from "../../base/concurrency.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../base/limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { Block } from "../../blocks/block-store.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { codecOf, digestKey, digestOf } from "../../format/blocks/cid.ts";
import type { Databases } from "../../objects/databases.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { Root } from "../../roots/root-store.ts";
import { INDEX_STEP } from "../limits.ts";
import type { Closable, OpenOwners } from "../store/open-owners.ts";
import type { OwnerBlocks, PutCounts, Room } from "../store/owner-blocks.ts";
import type { RecentNodes } from "../store/recent-nodes.ts";
import { CacheRepair } from "./cache-repair.ts";
import { IntactBlocks } from "./intact-blocks.ts";
import { LogFollower } from "./log-follower.ts";
import { type CachedBlock, PackCache } from "./pack-cache.ts";
import { PackWriter } from "./pack-writer.ts";
import { tooLong } from "./shared-errors.ts";
import { SharedReader, type Windows } from "./shared-reader.ts";

/** What the blocks of all owners share. */
export interface SharedTools extends Ports {
  readonly arbiter: Pick<Arbiter, "packs">;
  readonly databases: Databases;
  readonly leaseMs: number;
  /** Of the arbiter. */
  readonly incarnation: () => string;
  /** The arbiter no longer has packs that it had before. If this throws, the next reading finds it again. */
  readonly onWentBack: (owner: Wallet) => Promise<void>;
  /** False while packs are being entered that the log has lost. Absent: always true. */
  readonly isLogWhole?: () => Promise<boolean>;
}

export interface SharedBlocksOptions extends SharedTools {
  readonly owner: Wallet;
  readonly objects: ObjectStore;
  /** The cache's file. */
  readonly path: string;
  /** Shared by all owners. */
  readonly windows: Windows;
  readonly recent: RecentNodes;
  readonly open: OpenOwners;
}

/** After this long, or a quarter of a lease if that is shorter, the log is read again: packs may be condemned meanwhile. */
const REREAD_MS = 60_000;

export class SharedBlocks implements OwnerBlocks, Closable {
  readonly writer: PackWriter;
  readonly follower: LogFollower;
  /** Wraps work that uses the cache. The methods of this class wrap theirs already. */
  readonly repair = new CacheRepair((error) => this.#replaceCache(error));
  readonly #options: SharedBlocksOptions;
  readonly #intact: IntactBlocks;
  /** Blocks being stored. */
  readonly #pending = new Map<string, Promise<void>>();
  #cache: PackCache | undefined;

  constructor(options: SharedBlocksOptions) {
    const { owner, arbiter, objects, windows, clock, random, log, isLogWhole, onWentBack } = options;
    this.#options = options;
    this.follower = new LogFollower({
      owner,
      arbiter,
      objects,
      clock,
      log,
      cache: () => this.cache,
      onWentBack: async () => {
        await onWentBack(owner);
        this.cache.belongTo(options.incarnation(), true);
        this.follower.cacheEmptied();
      },
    });
    this.writer = new PackWriter({
      owner,
      objects,
      packs: arbiter.packs,
      clock,
      random,
      patienceMs: options.leaseMs,
      arbiterMs: () => this.#arbiterMs(),
      onEntered: ({ pack, bytes, createdMs, rows }) => this.follower.entered({ pack, bytes, createdMs }, rows),
    });
    this.#intact = new IntactBlocks({
      cache: () => this.cache,
      reader: new SharedReader({ objects, windows, sizeOf: (pack) => this.cache.pack(pack)?.bytes ?? 0 }),
      follower: this.follower,
      isLogWhole,
      restore: (cids) => this.#restore(cids),
      clock,
      log,
    });
  }

  /** Opened on demand: use it at once, not after the next await. */
  get cache(): PackCache {
    const { path, databases, open } = this.#options;
    if (this.#cache === undefined) {
      this.#cache = PackCache.open(path, databases);
      this.renew();
    }
    open.used(this);
    return this.#cache;
  }

  /** Empties the cache if it was read from another incarnation of the arbiter. */
  renew(): void {
    if (this.cache.belongTo(this.#options.incarnation())) this.follower.cacheEmptied();
  }

  /** It may be closed between any two steps. */
  readonly idle = true;

  /** Closes it for good. */
  close(): void {
    this.follower.end();
    this.rest();
  }

  rest(): void {
    this.#cache?.close();
    this.#cache = undefined;
  }

  get usedBytes(): number {
    return this.cache.usedBytes;
  }

  catchUp(): Promise<void> {
    return this.repair.run(async () => {
      if (this.#isOld) await this.follower.refresh();
    });
  }

  put(blocks: readonly Block[]): Promise<PutCounts> {
    return this.repair.run(() => this.#put(blocks));
  }

  async #put(blocks: readonly Block[]): Promise<PutCounts> {
    const isKnown = ({ cid }: Block) => this.#find(cid)?.isLive === true;
    // While the cache cannot take what was stored, repeated uploads would store it again each time.
    if (this.follower.isBehind || (this.#isOld && blocks.some(isKnown))) await this.follower.refresh();
    // A client sends what a master lacks. Another master may have found these damaged.
    const known = blocks.filter(isKnown);
    if (known.length > 0) await this.#intact.check(known.map(({ cid }) => cid));
    const fresh = new Map<string, Block>();
    const waits = new Set<Promise<void>>();
    for (const block of blocks) {
      const { cid, bytes } = block;
      if (bytes.length > MAX_BLOCK_ACCEPTED) throw tooLong(cid, bytes.length);
      const key = digestKey(cid);
      const pending = this.#pending.get(key);
      if (pending !== undefined) waits.add(pending);
      else if (!fresh.has(key) && !isKnown(block)) fresh.set(key, block);
    }
    if (fresh.size > 0) waits.add(this.#write(fresh));
    await Promise.all(waits);
    const { owner, recent } = this.#options;
    for (const { cid, bytes } of blocks) recent.note(owner, cid, bytes);
    return { stored: fresh.size, known: blocks.length - fresh.size };
  }

  recent(cid: Cid): Uint8Array | undefined {
    return this.#options.recent.get(this.#options.owner, cid);
  }

  async get(cid: Cid, room?: Room): Promise<Uint8Array> {
    const bytes = (await this.getMany([cid], room)).get(cid);
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  }

  getMany(cids: readonly Cid[], room?: Room): Promise<Map<Cid, Uint8Array>> {
    return this.repair.run(() => this.#getMany(cids, room));
  }

  async #getMany(cids: readonly Cid[], room?: Room): Promise<Map<Cid, Uint8Array>> {
    const [only] = cids;
    const isNode = cids.length === 1 && only !== undefined && codecOf(only) !== "raw" && room === undefined;
    const found = isNode ? new Map([[only, await this.#intact.node(only)]]) : await this.#intact.many(cids);
    if (room === undefined) return found;
    for (const [cid, bytes] of found) {
      const memory = room(bytes.length);
      memory.set(bytes);
      found.set(cid, memory);
    }
    return found;
  }

  has(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.repair.run(() => this.#those(cids, (cid) => this.#find(cid)?.isLive === true));
  }

  size(cid: Cid): Promise<number | undefined> {
    return this.repair.run(async () => {
      if (this.#find(cid) === undefined) await this.#lookAgain([cid]);
      return this.#find(cid)?.length;
    });
  }

  async knownSize(cid: Cid): Promise<number | undefined> {
    await this.catchUp();
    return this.repair.run(async () => this.#find(cid)?.length);
  }

  complete(cids: readonly Cid[]): Promise<Set<Cid>> {
    const isComplete = (cid: Cid) => codecOf(cid) !== "raw" && this.cache.isComplete(digestOf(cid));
    return this.repair.run(async () => new Set(cids.filter(isComplete)));
  }

  markComplete(cids: readonly Cid[], era: number): Promise<void> {
    return this.repair.run(() => this.#markComplete(cids, era));
  }

  async #markComplete(cids: readonly Cid[], era: number): Promise<void> {
    const nodes = cids.filter((cid) => codecOf(cid) !== "raw");
    for (let at = 0; at < nodes.length; at += INDEX_STEP) {
      if (at > 0) await nextTurn();
      if (this.cache.era !== era) return;
      this.cache.markComplete(nodes.slice(at, at + INDEX_STEP).map(digestOf));
    }
  }

  era(): Promise<number> {
    return this.repair.run(async () => {
      await this.follower.refresh();
      return this.cache.era;
    });
  }

  /** As IntactBlocks.check. */
  check(cids: readonly Cid[]): Promise<void> {
    return this.repair.run(() => this.#intact.check(cids));
  }

  /** Looks for missing blocks: in the log, then in unread packs and damaged copies, which are tried again. */
  lookAgain(cids: readonly Cid[]): Promise<void> {
    return this.repair.run(() => this.#lookAgain(cids));
  }

  async #lookAgain(cids: readonly Cid[]): Promise<void> {
    await this.follower.refreshAll();
    await this.#intact.retry(cids);
  }

  /** Restores condemned packs that hold any of these blocks. */
  hold(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.repair.run(() => this.#hold(cids));
  }

  async #hold(cids: readonly Cid[]): Promise<Set<Cid>> {
    await this.#intact.retry(cids);
    await this.#restore(cids);
    return this.has(cids);
  }

  async #restore(cids: readonly Cid[]): Promise<void> {
    const { arbiter, owner } = this.#options;
    const condemned = new Set<string>();
    for (const [index, cid] of cids.entries()) {
      if (index > 0 && index % INDEX_STEP === 0) await nextTurn();
      const place = this.#find(cid);
      if (place?.isLive === false) condemned.add(place.pack);
    }
    if (condemned.size > 0) {
      await arbiter.packs.restore(owner, [...condemned]);
      // Only the log has states in their order. Other masters may have condemned these packs since.
      await this.follower.refresh();
    }
  }

  /** Restores condemned packs that hold any of these blocks: a pack is deleted only a lease after it was condemned. */
  lease(cids: readonly Cid[]): Promise<void> {
    return this.repair.run(async () => {
      if (this.#isOld) await this.follower.refresh();
      await this.#restore(cids);
    });
  }

  swapped(bucket: string, root: Root): Promise<boolean> {
    return this.repair.run(async () => this.cache.roots.swapped({ bucket, ...root }));
  }

  #replaceCache(error: unknown): void {
    const { owner, path, databases, log } = this.#options;
    log.error("a cache of packs is damaged; rebuilding it", { owner, error: describeError(error) });
    this.rest();
    PackCache.replace(path, databases);
  }

  #find(cid: Cid): CachedBlock | undefined {
    return this.cache.find(digestOf(cid));
  }

  async #write(fresh: ReadonlyMap<string, Block>): Promise<void> {
    const written = this.writer.write([...fresh.values()]);
    for (const key of fresh.keys()) this.#pending.set(key, written);
    try {
      await written;
    } finally {
      for (const key of fresh.keys()) this.#pending.delete(key);
    }
  }

  /** Whether the last reading of the log is too old. */
  get #isOld(): boolean {
    return this.follower.ageMs > Math.min(REREAD_MS, this.#options.leaseMs / 4);
  }

  async #arbiterMs(): Promise<number> {
    if (this.#isOld) await this.follower.refresh();
    return this.follower.earlierMs;
  }

  /** Reads the log if a block is missing, or if the last reading is too old. */
  async #those(cids: readonly Cid[], test: (cid: Cid) => boolean): Promise<Set<Cid>> {
    let found = await this.#tested(cids, test);
    if (found.size < cids.length || this.#isOld) {
      await this.follower.refresh();
      found = await this.#tested(cids, test);
    }
    return found;
  }

  async #tested(cids: readonly Cid[], test: (cid: Cid) => boolean): Promise<Set<Cid>> {
    const found = new Set<Cid>();
    for (const [index, cid] of cids.entries()) {
      if (index > 0 && index % INDEX_STEP === 0) await nextTurn();
      if (test(cid)) found.add(cid);
    }
    return found;
  }
}
