/** Verifies every block against its CID: data from a disk or a network is never used unchecked. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../base/limits.ts";
import { matchesCid } from "../format/blocks/cid.ts";
import type { BlockReader } from "./block-store.ts";

export class VerifiedReader implements BlockReader {
  readonly #inner: BlockReader;

  constructor(inner: BlockReader) {
    this.#inner = inner;
  }

  async get(cid: Cid): Promise<Uint8Array> {
    return verified(cid, await this.#inner.get(cid));
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const blocks = await this.#inner.getMany(cids);
    for (const [cid, bytes] of blocks) verified(cid, bytes);
    return blocks;
  }
}

/** Whether these are the block's bytes, within the size that we accept. */
export function isIntact(cid: Cid, bytes: Uint8Array): boolean {
  return bytes.length <= MAX_BLOCK_ACCEPTED && matchesCid(cid, bytes);
}

function verified(cid: Cid, bytes: Uint8Array): Uint8Array {
  if (isIntact(cid, bytes)) return bytes;
  throw new SynclineError("block_corrupt", `Block ${cid} is damaged in the store.`, {
    hint: "Run `syncline verify --repair`, preferably on a machine whose cache or synced folder may still hold it.",
  });
}
