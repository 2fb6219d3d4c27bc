/** Finds intact copies of blocks for a repair: in local caches, in any pack of the store, and in the object `genesis`. */
import { unlessDamaged } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { blake3 } from "../../crypto/hash.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import { COMMIT_FOLDER, GENESIS_OBJECT, PACK_FOLDER, parsePackName } from "../../format/blocks/object-name.ts";
import type { PackFooter } from "../../format/blocks/pack.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { readFooter } from "../../packs/pack-footer.ts";

export interface StoredFooter {
  readonly footer: PackFooter;
  readonly manifest: Uint8Array;
}

export class BlockCopies {
  readonly #store: ObjectStore;
  readonly #local: BlockReader | undefined;
  #genesis: Promise<Uint8Array | undefined> | undefined;
  /** Of every pack and commit object of the store whose footer is intact. */
  readonly footers = new Map<PackName, StoredFooter>();

  constructor(store: ObjectStore, local: BlockReader | undefined) {
    this.#store = store;
    this.#local = local;
  }

  /** Reads the footers of all packs and commit objects in the store, whether a manifest lists them or not. */
  async readFooters(): Promise<void> {
    for (const folder of [PACK_FOLDER, COMMIT_FOLDER]) {
      for await (const { name } of this.#store.list(folder)) {
        const pack = parsePackName(name);
        if (pack !== undefined) await this.readFooter(pack);
      }
    }
  }

  /** False if it is missing or damaged; the footer is then forgotten. */
  async readFooter(pack: PackName): Promise<boolean> {
    this.footers.delete(pack);
    const footer = await unlessDamaged(() => readFooter((length) => this.#store.getTail(pack, length)));
    if (footer !== undefined) this.footers.set(pack, footer);
    return footer !== undefined;
  }

  /** The block's bytes, which have this digest. */
  async find(digest: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.#findLocal(digest)) ?? (await this.#findStored(digest)) ?? this.#findGenesis(digest);
  }

  /** Whether an intact footer lists the block; does not check its bytes. */
  isListed(digest: Uint8Array): boolean {
    for (const { footer } of this.footers.values()) if (footer.find(digest) !== undefined) return true;
    return false;
  }

  async #findLocal(digest: Uint8Array): Promise<Uint8Array | undefined> {
    for (const codec of ["raw", "dag-cbor"] as const) {
      const bytes = await unlessDamaged(async () => this.#local?.get(cidFromDigest(codec, digest)));
      if (bytes !== undefined && isBlock(bytes, digest)) return bytes;
    }
    return undefined;
  }

  async #findStored(digest: Uint8Array): Promise<Uint8Array | undefined> {
    for (const [pack, { footer }] of this.footers) {
      const row = footer.find(digest);
      const [bytes] = (row && (await unlessDamaged(() => this.#store.getRanges(pack, [row])))) ?? [];
      if (bytes !== undefined && isBlock(bytes, digest)) return bytes;
    }
    return undefined;
  }

  /** Its object is a copy of a block. */
  async #findGenesis(digest: Uint8Array): Promise<Uint8Array | undefined> {
    this.#genesis ??= unlessDamaged(async () => (await this.#store.get(GENESIS_OBJECT))?.bytes);
    const bytes = await this.#genesis;
    return bytes !== undefined && isBlock(bytes, digest) ? bytes : undefined;
  }
}

function isBlock(bytes: Uint8Array, digest: Uint8Array): boolean {
  return Buffer.compare(blake3(bytes), digest) === 0;
}
