/**
 * Reads an owner's blocks from intact copies. A copy that cannot be read counts as missing. If a block has no other copy, this
 * one is tried again later: a store may lose an object for a while only.
 */
import { describeError, type Log } from "../../base/log.ts";
import { groupBy } from "../../base/collections.ts";
import { mapConcurrent, nextTurn } from "../../base/concurrency.ts";
import { unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Clock } from "../../base/clock.ts";
import { unless } from "../../base/unless.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { isIntact } from "../../blocks/verified-reader.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import { INDEX_STEP, PACK_READS } from "../limits.ts";
import type { LogFollower } from "./log-follower.ts";
import type { CachedBlock, PackCache } from "./pack-cache.ts";
import { damaged, entering } from "./shared-errors.ts";
import { type SharedReader, unlessGone } from "./shared-reader.ts";

export interface IntactBlocksOptions {
  /** Opens it if it is closed. */
  readonly cache: () => PackCache;
  readonly reader: SharedReader;
  readonly follower: LogFollower;
  /** As SharedTools.isLogWhole. */
  readonly isLogWhole: (() => Promise<boolean>) | undefined;
  /** Makes condemned packs that hold these blocks live again. */
  readonly restore: (cids: readonly Cid[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

export class IntactBlocks {
  readonly #options: IntactBlocksOptions;

  constructor(options: IntactBlocksOptions) {
    this.#options = options;
  }

  /** One node: read with what lies beside it. Throws `block_not_found`, `block_corrupt`. */
  async node(cid: Cid): Promise<Uint8Array> {
    const place = this.#find(cid);
    const read = place && (await unlessGone(() => this.#options.reader.node(place)));
    let bytes = read;
    if (bytes === undefined || !isIntact(cid, bytes)) {
      await this.#lookAgain([cid]);
      bytes = await this.#firstIntact(cid, new Set());
    }
    await this.#keepLast([cid]);
    return bytes;
  }

  /** Throws `block_not_found`, `block_corrupt`. */
  async many(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = await this.#read(cids);
    const missing = cids.filter((cid) => !found.has(cid));
    if (missing.length > 0) await this.#lookAgain(missing);
    const gone = new Set<string>();
    for (const cid of missing) found.set(cid, await this.#firstIntact(cid, gone));
    await this.#keepLast(cids);
    return found;
  }

  /** Reads these blocks. Afterwards, those without an intact copy count as missing. */
  async check(cids: readonly Cid[]): Promise<void> {
    const found = await this.#read(cids);
    if (found.size < cids.length) await this.#options.follower.refresh();
    const gone = new Set<string>();
    for (const cid of cids) if (!found.has(cid)) await unlessDamaged(() => this.#firstIntact(cid, gone));
    await this.#keepLast(cids);
  }

  /** Tries damaged copies of missing blocks again. Afterwards, blocks with an intact copy count as there. */
  async retry(cids: readonly Cid[]): Promise<void> {
    const { cache } = this.#options;
    const gone = new Set<string>();
    for (const [index, cid] of cids.entries()) {
      if (index > 0 && index % INDEX_STEP === 0) await nextTurn();
      for (const place of this.#find(cid) === undefined ? cache().damaged(digestOf(cid), this.#nowMs) : []) {
        if ((await this.#intact(cid, place, gone)) === undefined)
          cache().markDamaged(digestOf(cid), place.pack, this.#nowMs);
        else cache().markIntact(digestOf(cid), place.pack);
      }
    }
  }

  get #nowMs(): number {
    return Number(this.#options.clock.nowNs() / 1_000_000n);
  }

  #find(cid: Cid): CachedBlock | undefined {
    return this.#options.cache().find(digestOf(cid));
  }

  /** The blocks that can be read intact where the cache places them. */
  async #read(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const places = cids.flatMap((cid) => {
      const place = this.#find(cid);
      return place === undefined ? [] : [[cid, place] as const];
    });
    const found = new Map<Cid, Uint8Array>();
    // If a pack is lost, the other packs' blocks are still found.
    await mapConcurrent([...groupBy(places, ([, { pack }]) => pack).values()], PACK_READS, async (some) => {
      const read = await unlessGone(() => this.#options.reader.blocks(new Map(some)));
      for (const [cid, bytes] of read ?? []) if (isIntact(cid, bytes)) found.set(cid, bytes);
    });
    return found;
  }

  /** The block's bytes at this place. Undefined: they are damaged, or the pack is gone and is added to `gone`. */
  async #intact(cid: Cid, place: CachedBlock, gone: Set<string>): Promise<Uint8Array | undefined> {
    if (gone.has(place.pack)) return undefined;
    const reading = () => unless("block_corrupt", () => this.#options.reader.blocks(new Map([[cid, place]])));
    const isThere = await unless("object_not_found", async () => ({ read: await reading() }));
    if (isThere === undefined) gone.add(place.pack);
    const bytes = isThere?.read?.get(cid);
    return bytes !== undefined && isIntact(cid, bytes) ? bytes : undefined;
  }

  /** Reads the log, which may name other copies, and tries damaged copies again. */
  async #lookAgain(cids: readonly Cid[]): Promise<void> {
    const { follower } = this.#options;
    await (cids.some((cid) => this.#find(cid) === undefined) ? follower.refreshAll() : follower.refresh());
    await this.retry(cids);
  }

  /**
   * The first intact copy. Marks those before it as damaged, without a try if their pack is in `gone`. Throws
   * `block_not_found`, `block_corrupt`.
   */
  async #firstIntact(cid: Cid, gone: Set<string>): Promise<Uint8Array> {
    const { cache, log, isLogWhole } = this.#options;
    for (let place = this.#find(cid); place !== undefined; place = this.#find(cid)) {
      const { pack, offset } = place;
      const isKnown = gone.has(pack);
      const bytes = await this.#intact(cid, place, gone);
      if (bytes !== undefined) return bytes;
      if (!isKnown) log.error("a block is damaged", { cid, pack, offset });
      cache().markDamaged(digestOf(cid), pack, this.#nowMs);
      if (this.#find(cid) === undefined) throw damaged(cid, place);
    }
    if ((await isLogWhole?.()) === false) throw entering();
    throw blockNotFound(cid);
  }

  /** Restores condemned packs that hold the only intact copy of a block: other masters would delete them. */
  async #keepLast(cids: readonly Cid[]): Promise<void> {
    const { cache, restore, log } = this.#options;
    const last = cids.filter((cid) => this.#find(cid)?.isLive === false && cache().mayHaveDamaged(digestOf(cid)));
    if (last.length === 0) return;
    try {
      await restore(last);
    } catch (error) {
      // The block itself was read. The next read tries this again.
      log.error("cannot keep a condemned pack that holds the only intact copy of a block", {
        cid: last[0],
        error: describeError(error),
      });
    }
  }
}
