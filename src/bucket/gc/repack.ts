/** Copies blocks that must stay out of packs that go, into new packs: nodes and contents apart, in their old order. */
import { inBatches } from "../../base/collections.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import type { WordMemory } from "../../base/word-memory.ts";
import { cidFromDigest, type Codec, codecOf, matchesCid } from "../../format/blocks/cid.ts";
import type { RunRow } from "../../format/blocks/run.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { PackUploader } from "../packed/pack-uploader.ts";
import { byOffset } from "../../packs/pack-rows.ts";
import { type Placement, readPlaced } from "../../packs/ranged-reads.ts";
import { PlacedBlocks } from "./block-table.ts";

/** How much is read at once. */
const PIECE_BYTES = PACK_TARGET_BYTES / 4;

export class Repacker {
  readonly #store: ObjectStore;
  readonly #uploader: PackUploader;
  /** Where the copies lie. */
  readonly #copies: PlacedBlocks;
  readonly #waiting: Record<Codec, { blocks: Block[]; bytes: number }> = {
    "dag-cbor": { blocks: [], bytes: 0 },
    raw: { blocks: [], bytes: 0 },
  };
  bytes = 0;

  constructor(store: ObjectStore, uploader: PackUploader, memory: WordMemory) {
    this.#store = store;
    this.#uploader = uploader;
    this.#copies = new PlacedBlocks(memory);
  }

  /** How many blocks have a copy. */
  get copied(): number {
    return this.#copies.size;
  }

  /** Where the copy of a block lies, if one was made. */
  copyOf(digest: Uint8Array): RunRow | undefined {
    return this.#copies.get(digest);
  }

  /**
   * Copies these blocks of one pack. Throws `block_corrupt` instead of copying damage, and as the store does; earlier
   * copies stay valid.
   */
  async copy(rows: readonly (RunRow & { readonly kind: Codec })[]): Promise<void> {
    const ordered = rows.toSorted(byOffset);
    for (const piece of inBatches(ordered, ({ length }) => length, { bytes: PIECE_BYTES })) {
      await this.#copyPiece(new Map(piece.map((row) => [cidFromDigest(row.kind, row.digest), row])));
    }
  }

  /** Stores the blocks that have not filled a pack yet. */
  async finish(): Promise<void> {
    for (const codec of ["dag-cbor", "raw"] as const) await this.#send(codec);
  }

  async #copyPiece(places: ReadonlyMap<Cid, Placement>): Promise<void> {
    const found = await readPlaced(this.#store, places);
    for (const [cid, place] of places) {
      const bytes = found.get(cid);
      if (bytes === undefined || !matchesCid(cid, bytes)) throw damaged(cid, place.pack);
      const waiting = this.#waiting[codecOf(cid)];
      waiting.blocks.push({ cid, bytes });
      waiting.bytes += bytes.length;
      if (waiting.bytes >= PACK_TARGET_BYTES) await this.#send(codecOf(cid));
    }
  }

  async #send(codec: Codec): Promise<void> {
    const { blocks } = this.#waiting[codec];
    if (blocks.length === 0) return;
    const { pack, footer } = await this.#uploader.putPack(blocks);
    this.#waiting[codec] = { blocks: [], bytes: 0 };
    this.bytes += pack.size;
    for (const row of footer) this.#copies.put({ ...row, pack: pack.name });
  }
}

function damaged(cid: Cid, pack: PackName): SynclineError {
  return new SynclineError("block_corrupt", `Block ${cid} in ${pack} is damaged. Nothing was collected.`, {
    hint: "Run `syncline verify --repair` on the bucket, then collect again.",
  });
}
