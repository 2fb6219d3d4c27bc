/**
 * New blocks on their way into a bucket. Contents go into the upload at once. Nodes wait in memory until it is known which
 * of them the published tree reaches, since most attempts leave some unused.
 */
import type { Cid } from "../../base/ids.ts";
import type { Block, BlockReader, BlockSink } from "../../blocks/block-store.ts";
import { VerifiedReader } from "../../blocks/verified-reader.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { linksOf } from "../../format/blocks/links.ts";
import type { UploadSession } from "../remote.ts";

/** Takes new contents, and reads them again. */
export type ContentSession = Pick<UploadSession, "putContent" | "blocks">;

export class Staging implements BlockSink, BlockReader {
  readonly #stored: BlockReader;
  readonly #session: ContentSession | undefined;
  /** What the session accepted, checked. Blocks that the bucket already held were not sent and may be damaged there. */
  readonly #taken: BlockReader | undefined;
  readonly #nodes = new Map<Cid, Uint8Array>();
  readonly #uploading = new Set<Cid>();
  #blocksRead = 0;
  /** Bytes of the contents that went into the upload. */
  contentBytes = 0;

  /** `stored` reads what the bucket holds. Without a session, contents are dropped: for rebuilding published trees. */
  constructor(stored: BlockReader, session: ContentSession | undefined) {
    this.#stored = stored;
    this.#session = session;
    this.#taken = session === undefined ? undefined : new VerifiedReader(session.blocks);
  }

  /** How many blocks were read from the bucket. */
  get blocksRead(): number {
    return this.#blocksRead;
  }

  put(block: Block): void | Promise<void> {
    const { cid, bytes } = block;
    if (codecOf(cid) === "dag-cbor") return void this.#nodes.set(cid, bytes);
    if (this.#session === undefined) return;
    this.#uploading.add(cid);
    this.contentBytes += bytes.length;
    return this.#session.putContent(block);
  }

  async get(cid: Cid): Promise<Uint8Array> {
    const staged = this.#nodes.get(cid);
    if (staged !== undefined) return staged;
    this.#blocksRead++;
    return this.#readerOf(cid).get(cid);
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    const wanted = new Map<BlockReader, Cid[]>();
    for (const cid of cids) {
      const staged = this.#nodes.get(cid);
      if (staged !== undefined) found.set(cid, staged);
      else wanted.set(this.#readerOf(cid), [...(wanted.get(this.#readerOf(cid)) ?? []), cid]);
    }
    for (const [reader, missing] of wanted) {
      this.#blocksRead += missing.length;
      for (const [cid, bytes] of await reader.getMany(missing)) found.set(cid, bytes);
    }
    return found;
  }

  /** The staged blocks that these roots reach, parents first: tree order. Does not descend into stored blocks. */
  *reachable(roots: readonly Cid[]): Generator<Block> {
    const seen = new Set<Cid>();
    const stack = roots.toReversed();
    for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
      const bytes = this.#nodes.get(cid);
      if (bytes === undefined || seen.has(cid)) continue;
      seen.add(cid);
      yield { cid, bytes };
      for (const link of linksOf(cid, bytes).toReversed()) if (this.#nodes.has(link)) stack.push(link);
    }
  }

  #readerOf(cid: Cid): BlockReader {
    return this.#taken !== undefined && this.#uploading.has(cid) ? this.#taken : this.#stored;
  }
}
