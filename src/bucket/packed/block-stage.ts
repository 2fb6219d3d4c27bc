/**
 * Blocks of one kind on their way into packs: blocks that the bucket lacks wait here until they fill a pack, which is then
 * sent in the background.
 */
import { freeBytes } from "../../base/bytes.ts";
import { SerialQueue } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED, PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { digestKey } from "../../format/blocks/cid.ts";
import type { PackUploader } from "./pack-uploader.ts";
import type { Placement } from "../../packs/ranged-reads.ts";
import type { PlacementIndex } from "./placement-index.ts";
import type { SessionPacks } from "./session-packs.ts";

export interface StageOptions {
  /** Up to this many bytes are accepted without checking whether the bucket holds them. */
  readonly unasked: number;
  /** Called before a pack is sent. Answers whether it added any to `packs`. */
  readonly inherit: () => Promise<boolean>;
  /** What they hold counts as missing. */
  readonly doubted: ReadonlySet<PackName>;
}

/** Packs that are being stored while the next one fills: each costs its size in memory. */
const UPLOADS_AT_ONCE = 1;

export class BlockStage {
  readonly #uploader: PackUploader;
  readonly #packs: SessionPacks;
  readonly #options: StageOptions;
  readonly #queue = new SerialQueue();
  /** Not yet looked up in the bucket. */
  readonly #incoming = new BlockPool();
  /** The bucket lacks them, and no pack holds them yet. */
  readonly #staged = new BlockPool();
  /** In packs that are being sent. */
  readonly #sending = new BlockPool();
  /** The bucket held them when they were looked up. By digestKey. */
  readonly #hits = new Map<string, Cid>();
  readonly #pools = [this.#incoming, this.#staged, this.#sending];
  readonly #uploads = new Set<Promise<void>>();
  #failure: unknown;

  constructor(uploader: PackUploader, packs: SessionPacks, options: StageOptions) {
    this.#uploader = uploader;
    this.#packs = packs;
    this.#options = options;
  }

  get staged(): Iterable<Block> {
    return this.#staged;
  }

  get stagedBytes(): number {
    return this.#staged.bytes;
  }

  /** Takes a block; true if it is time to `sift`. Throws `limit_exceeded`. */
  add(block: Block): boolean {
    if (block.bytes.length > MAX_BLOCK_ACCEPTED) {
      throw new SynclineError("limit_exceeded", `Block ${block.cid} is larger than ${MAX_BLOCK_ACCEPTED} bytes.`);
    }
    if (!this.has(block.cid) && this.#packs.locate(block.cid) === undefined) this.#incoming.add(block);
    return this.#incoming.bytes >= PACK_TARGET_BYTES;
  }

  /** Whether the block is still in memory. */
  has(cid: Cid): boolean {
    return this.#pools.some((pool) => pool.get(cid) !== undefined);
  }

  /** The block's bytes if they are still in memory. From then on they are not freed. */
  lend(cid: Cid): Uint8Array | undefined {
    return this.#pools.find((pool) => pool.get(cid) !== undefined)?.lend(cid);
  }

  /** Drops incoming blocks that the bucket holds, and sends packs off as they fill; waits while too many are under way. */
  sift(index: PlacementIndex | undefined): Promise<void> {
    return this.#queue.run(async () => {
      const few = this.#incoming.bytes <= this.#options.unasked;
      const incoming = [...this.#incoming];
      const cids = incoming.map(({ cid }) => cid);
      const { doubted } = this.#options;
      const found = few ? index?.locateAtHand(cids, doubted) : (await index?.locate(cids, doubted))?.found;
      for (const block of incoming) {
        this.#incoming.delete(block.cid);
        if (found?.has(block.cid) === true) this.#hits.set(digestKey(block.cid), block.cid);
        else this.#staged.add(block);
      }
      while (this.#staged.bytes >= PACK_TARGET_BYTES) await this.#sendPack();
    });
  }

  /** Makes everything staged into packs and waits until all are stored. */
  async sendAll(): Promise<void> {
    await this.#queue.run(async () => {
      while (this.#staged.bytes > 0) await this.#sendPack();
    });
    await this.uploaded();
  }

  /** Waits for the packs under way. Throws what made one fail; its blocks are staged again. */
  async uploaded(): Promise<void> {
    await Promise.all(this.#uploads);
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Looks everything up again in another root's index. Throws `root_moved` if the bucket has lost a block that it held. */
  async recheck(index: PlacementIndex | undefined): Promise<void> {
    const hits = [...this.#hits.values()];
    const staged = [...this.#staged].map(({ cid }) => cid);
    const located = await index?.locate([...hits, ...staged], this.#options.doubted);
    const found = located?.found ?? new Map<Cid, Placement>();
    const lost = hits.find((cid) => !found.has(cid));
    if (lost !== undefined) {
      throw new SynclineError("root_moved", `The bucket no longer holds block ${lost}. The upload must start over.`);
    }
    for (const cid of staged) {
      if (!found.has(cid)) continue;
      this.#staged.delete(cid);
      this.#hits.set(digestKey(cid), cid);
    }
  }

  /** Forgets staged blocks that a pack of the session now holds. */
  dropPacked(): void {
    for (const { cid } of this.#staged) if (this.#packs.locate(cid) !== undefined) this.#staged.delete(cid);
  }

  /** Forgets waiting blocks and those that the bucket held. */
  clear(): void {
    for (const pool of [this.#incoming, this.#staged]) for (const { cid } of pool) pool.delete(cid);
    this.#hits.clear();
  }

  async #sendPack(): Promise<void> {
    while (this.#uploads.size >= UPLOADS_AT_ONCE) await Promise.race(this.#uploads);
    if (this.#failure !== undefined) await this.uploaded();
    if (await this.#options.inherit()) this.dropPacked();
    const blocks: Block[] = [];
    let bytes = 0;
    for (const block of this.#staged) {
      if (bytes >= PACK_TARGET_BYTES) break;
      blocks.push(block);
      bytes += block.bytes.length;
    }
    if (blocks.length === 0) return;
    for (const block of blocks) {
      this.#staged.delete(block.cid);
      this.#sending.add(block);
    }
    const upload = this.#store(blocks).finally(() => this.#uploads.delete(upload));
    this.#uploads.add(upload);
  }

  async #store(blocks: readonly Block[]): Promise<void> {
    let isStored = false;
    try {
      this.#packs.add(await this.#uploader.putPack(blocks));
      isStored = true;
    } catch (cause) {
      this.#failure ??= cause;
    }
    for (const { cid } of blocks) {
      const sent = this.#sending.take(cid);
      if (sent === undefined) continue;
      if (!isStored) this.#staged.add(sent);
      else if (sent.isHandedOver === true && this.#uploader.isDoneWithBlocks) freeBytes(sent.bytes);
    }
  }
}

/** Blocks in order of arrival, by digestKey, with their total size. */
class BlockPool {
  readonly #blocks = new Map<string, Block>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get(cid: Cid): Block | undefined {
    return this.#blocks.get(digestKey(cid));
  }

  add(block: Block): void {
    if (this.get(block.cid) !== undefined) return;
    this.#blocks.set(digestKey(block.cid), block);
    this.#bytes += block.bytes.length;
  }

  delete(cid: Cid): void {
    this.take(cid);
  }

  /** Removes a block. */
  take(cid: Cid): Block | undefined {
    const block = this.get(cid);
    this.#bytes -= block?.bytes.length ?? 0;
    this.#blocks.delete(digestKey(cid));
    return block;
  }

  /** A block's bytes for a reader: from now on they must not be freed. */
  lend(cid: Cid): Uint8Array | undefined {
    const bytes = this.get(cid)?.bytes;
    if (bytes !== undefined) this.#blocks.set(digestKey(cid), { cid, bytes });
    return bytes;
  }

  [Symbol.iterator](): Iterator<Block> {
    return this.#blocks.values();
  }
}
