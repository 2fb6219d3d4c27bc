/**
 * The blocks that an upload has at a master. Their leases may end before the swap if the upload takes long, so it names them
 * again every quarter of a lease.
 */
import { type BothClocks, bothClocks, type Clock, longestMs } from "../../base/clock.ts";
import type { Cid } from "../../base/ids.ts";
import type { BlockStore } from "../../blocks/block-store.ts";
import { CID_BYTES, cidAt, cidToBytes } from "../../format/blocks/cid.ts";

export interface SentBlocksOptions {
  readonly store: Pick<BlockStore, "has">;
  /** How long the master keeps a block that no root reaches. Never rejects. */
  readonly leaseMs: () => Promise<number>;
  /** Called for each request. */
  readonly onRequest: () => void;
  readonly clock: Clock;
}

/** Blocks named in one request. */
const PAGE = 1_000;
/** Until an upload takes this long, the master is not asked for its lease. */
const SHORT_MS = 1_000;

export class SentBlocks {
  readonly #options: SentBlocksOptions;
  /** Full pages in binary form, since a large upload has many, and the page being filled. */
  readonly #pages: Uint8Array[] = [];
  #page: Cid[] = [];
  #everyMs: number | undefined;
  #named: BothClocks;
  #isRenewing = false;

  constructor(options: SentBlocksOptions) {
    this.#options = options;
    this.#named = bothClocks(options.clock);
  }

  add(cids: Iterable<Cid>): void {
    for (const cid of cids) {
      this.#page.push(cid);
      if (this.#page.length < PAGE) continue;
      this.#pages.push(Buffer.concat(this.#page.map(cidToBytes)));
      this.#page = [];
    }
  }

  /** Whether to call `renew`. */
  get isDue(): boolean {
    return !this.#isRenewing && this.#ageMs() >= (this.#everyMs ?? SHORT_MS);
  }

  /** Names all blocks again if that is due. Returns those that the master has lost. Throws as the store. */
  async renew(): Promise<Cid[]> {
    if (!this.isDue) return [];
    this.#isRenewing = true;
    try {
      this.#everyMs ??= (await this.#options.leaseMs()) / 4;
      return this.#ageMs() >= this.#everyMs ? await this.#nameAll() : [];
    } finally {
      this.#isRenewing = false;
    }
  }

  async #nameAll(): Promise<Cid[]> {
    const { store, clock, onRequest } = this.#options;
    const begun = bothClocks(clock);
    const missing: Cid[] = [];
    for (const cids of this.#allPages()) {
      onRequest();
      const held = await store.has(cids);
      for (const cid of cids) if (!held.has(cid)) missing.push(cid);
    }
    this.#named = begun;
    return missing;
  }

  *#allPages(): Generator<Cid[]> {
    if (this.#page.length > 0) yield [...this.#page];
    for (const page of this.#pages) {
      yield Array.from({ length: page.length / CID_BYTES }, (_, index) => cidAt(page, index * CID_BYTES));
    }
  }

  #ageMs(): number {
    return longestMs(this.#named, bothClocks(this.#options.clock));
  }
}
