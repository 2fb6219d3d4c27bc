/** Blocks in a map that counts reads and puts. */
import { freeBytes } from "../../src/base/bytes.ts";
import type { Cid } from "../../src/base/ids.ts";
import { SynclineError } from "../../src/base/errors.ts";
import type { Block, BlockStore, SizedBlock } from "../../src/blocks/block-store.ts";

export class BlockMap implements BlockStore {
  readonly held = new Map<Cid, Uint8Array>();
  readonly reads: Cid[] = [];
  readonly puts: Block[] = [];
  /** Blocks that are available on this machine. */
  readonly ready = new Set<Cid>();
  /** The number of requests, each for one or many blocks. */
  requests = 0;

  async get(cid: Cid): Promise<Uint8Array> {
    return (await this.getMany([cid])).get(cid) ?? new Uint8Array(0);
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    this.requests += 1;
    const found = new Map<Cid, Uint8Array>();
    for (const cid of cids) {
      const bytes = this.held.get(cid);
      if (bytes === undefined) throw new SynclineError("block_not_found", `${cid} is not there.`);
      this.reads.push(cid);
      found.set(cid, bytes);
    }
    return found;
  }

  async readInto(blocks: readonly SizedBlock[], target: Uint8Array): Promise<number> {
    let filled = 0;
    for (const { cid, length } of blocks) {
      const bytes = this.ready.has(cid) ? this.held.get(cid) : undefined;
      if (bytes?.length !== length) break;
      target.set(bytes, filled);
      filled += length;
    }
    return filled;
  }

  async has(cids: readonly Cid[]): Promise<Set<Cid>> {
    return new Set(cids.filter((cid) => this.held.has(cid)));
  }

  /** Bytes that are handed over are copied and freed at once: whoever still reads them then fails. */
  put({ cid, bytes, isHandedOver = false }: Block): void {
    const own = isHandedOver ? Uint8Array.from(bytes) : bytes;
    if (isHandedOver) freeBytes(bytes);
    this.puts.push({ cid, bytes: own });
    this.held.set(cid, own);
  }

  /** The bytes of all puts; a block put twice counts twice. */
  get putBytes(): number {
    return this.puts.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  get readBytes(): number {
    return this.reads.reduce((sum, cid) => sum + (this.held.get(cid)?.length ?? 0), 0);
  }

  forgetCounts(): void {
    this.reads.length = this.puts.length = this.requests = 0;
  }
}
