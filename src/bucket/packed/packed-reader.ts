/**
 * Reads the blocks of a bucket out of its packs, unverified.
 *
 * A block that the newest known root does not map may have been published meanwhile, and a missing pack may have been
 * rewritten by the collector. In both cases the root is read again, once, before the block counts as missing.
 */
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { isIntact } from "../../blocks/verified-reader.ts";
import type { NewestIndex } from "./newest-index.ts";
import type { PackDirectory } from "./pack-directory.ts";
import type { PlacementIndex } from "./placement-index.ts";
import { type Placement, readPlaced } from "../../packs/ranged-reads.ts";

export class PackedReader implements BlockReader {
  /** Packs that are missing or have damaged blocks. */
  readonly doubted = new Set<PackName>();
  readonly #address: string;
  readonly #directory: PackDirectory;
  readonly #newest: NewestIndex;
  readonly #onDoubt: (pack: PackName) => void;

  /** The address is used in messages. `onDoubt` is told each pack that a read shows to be missing or damaged. */
  constructor(
    address: string,
    directory: PackDirectory,
    newest: NewestIndex,
    onDoubt: (pack: PackName) => void = () => {},
  ) {
    this.#address = address;
    this.#directory = directory;
    this.#newest = newest;
    this.#onDoubt = onDoubt;
  }

  async get(cid: Cid): Promise<Uint8Array> {
    const bytes = (await this.getMany([cid])).get(cid);
    if (bytes === undefined) throw notMapped(this.#address, cid, []);
    return bytes;
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const wanted = [...new Set(cids)];
    if (wanted.length === 0) return new Map();
    try {
      return await this.#read(await this.#newest.get(), wanted);
    } catch (cause) {
      if (!hasCode(cause, "block_not_found")) throw cause;
      return this.#read(await this.#newest.reload(), wanted);
    }
  }

  /** Reads these blocks once more; packs in which one is damaged become doubted. */
  async doubt(cids: readonly Cid[]): Promise<void> {
    try {
      const { found } = await (await this.#newest.get()).locate(cids);
      const read = await this.#readPlaced(found);
      for (const [cid, { pack }] of found) if (!isIntact(cid, read.get(cid) ?? new Uint8Array())) this.#found(pack);
    } catch (error) {
      // The caller reports the damage that it has met.
      if (!(error instanceof SynclineError)) throw error;
    }
  }

  async #read(index: PlacementIndex, cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const { found, damage } = await index.locate(cids);
    const absent = cids.find((cid) => !found.has(cid));
    if (absent !== undefined) throw notMapped(this.#address, absent, damage);
    return this.#readPlaced(found);
  }

  #found(pack: PackName): void {
    if (!this.doubted.has(pack)) this.#onDoubt(pack);
    this.doubted.add(pack);
  }

  #readPlaced(places: ReadonlyMap<Cid, Placement>): Promise<Map<Cid, Uint8Array>> {
    return readPlaced(this.#directory, places, (pack) => {
      this.#found(pack);
      // Another pack may have a copy, which its footer in memory would hide.
      this.#directory.forgetFooter(pack);
    });
  }
}

function notMapped(address: string, cid: Cid, damage: readonly unknown[]): SynclineError {
  const [cause] = damage;
  const why = cause instanceof Error ? `; its entry may be in a damaged object: ${cause.message}` : ".";
  return new SynclineError("block_not_found", `No pack of ${address} holds block ${cid}${why}`, {
    hint: "Run `syncline verify` on the bucket.",
    cause,
  });
}
