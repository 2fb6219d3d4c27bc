/**
 * Reads an owner's blocks from copies that are intact. A copy that cannot be read counts as missing, until it can be: a store
 * may lose an object for a while only.
 */
import { describeError, type Log } from "../../base/log.ts";
import { unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Clock } from "../../base/clock.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { isIntact } from "../../blocks/verified-reader.ts";
import { digestOf } from "../../format/blocks/cid.ts";
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
    const bytes = place && (await unlessGone(() => this.#options.reader.node(place)));
    if (bytes !== undefined && isIntact(cid, bytes)) return bytes;
    const again = await this.#again(cid);
    await this.#keepLast([cid]);
    return again;
  }

  /** Throws `block_not_found`, `block_corrupt`. */
  async many(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = await this.#read(cids);
    for (const cid of cids) if (!found.has(cid)) found.set(cid, await this.#again(cid));
    await this.#keepLast(cids);
    return found;
  }

  /** Reads these blocks: afterwards only intact ones count as there. */
  async check(cids: readonly Cid[]): Promise<void> {
    const found = await this.#read(cids);
    for (const cid of cids) if (!found.has(cid)) await unlessDamaged(() => this.#again(cid));
    await this.#keepLast(cids);
  }

  /** Reads copies again that could not be read a while ago: afterwards those that are intact count as there. */
  async retry(cids: readonly Cid[]): Promise<void> {
    const { cache } = this.#options;
    for (const cid of cids) {
      for (const place of this.#find(cid) === undefined ? cache().damaged(digestOf(cid), this.#nowMs) : []) {
        if ((await this.#intact(cid, place)) === undefined) cache().markDamaged(digestOf(cid), place.pack, this.#nowMs);
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
    const places = new Map<Cid, CachedBlock>();
    for (const cid of cids) {
      const place = this.#find(cid);
      if (place !== undefined) places.set(cid, place);
    }
    const found = (await unlessGone(() => this.#options.reader.blocks(places))) ?? new Map<Cid, Uint8Array>();
    for (const [cid, bytes] of found) if (!isIntact(cid, bytes)) found.delete(cid);
    return found;
  }

  async #intact(cid: Cid, place: CachedBlock): Promise<Uint8Array | undefined> {
    const read = await unlessGone(() => this.#options.reader.blocks(new Map([[cid, place]])));
    const bytes = read?.get(cid);
    return bytes !== undefined && isIntact(cid, bytes) ? bytes : undefined;
  }

  /** Reads a block again after reading the log, which may name another copy. Throws `block_not_found`, `block_corrupt`. */
  async #again(cid: Cid): Promise<Uint8Array> {
    const { cache, follower, log, isLogWhole } = this.#options;
    await follower.refresh();
    await this.retry([cid]);
    for (let place = this.#find(cid); place !== undefined; place = this.#find(cid)) {
      const bytes = await this.#intact(cid, place);
      if (bytes !== undefined) return bytes;
      const { pack, offset } = place;
      log.error("a block is damaged", { cid, pack, offset });
      cache().markDamaged(digestOf(cid), pack, this.#nowMs);
      if (this.#find(cid) === undefined) throw damaged(cid, place);
    }
    if ((await isLogWhole?.()) === false) throw entering();
    throw blockNotFound(cid);
  }

  /** Keeps condemned packs that hold the only intact copy: other masters may take one that this master cannot read for it. */
  async #keepLast(cids: readonly Cid[]): Promise<void> {
    const { cache, restore, log } = this.#options;
    const last = cids.filter((cid) => this.#find(cid)?.isLive === false && cache().mayHaveDamaged(digestOf(cid)));
    if (last.length === 0) return;
    try {
      await restore(last);
    } catch (error) {
      // The block was read nevertheless; the next reading tries again.
      log.error("cannot keep a condemned pack that holds the only intact copy of a block", {
        cid: last[0],
        error: describeError(error),
      });
    }
  }
}
