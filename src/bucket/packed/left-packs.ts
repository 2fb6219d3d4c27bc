/**
 * Packs that an earlier process of this writer stored and did not get to list: an upload goes on with them after a restart.
 * The writer's lease names them.
 */
import { mapConcurrent, SerialQueue } from "../../base/concurrency.ts";
import { unlessDamaged } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { COMMIT_TAIL_BYTES, STORE_CONCURRENCY } from "../../base/limits.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { PackFooter } from "../../format/blocks/pack.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { Lease } from "./lease.ts";
import type { UploadedPack } from "./pack-uploader.ts";
import type { PlacementIndex } from "./placement-index.ts";

export class LeftPacks {
  readonly #store: ObjectStore;
  readonly #lease: Lease;
  readonly #queue = new SerialQueue();
  #isTaken: boolean;

  constructor(store: ObjectStore, lease: Lease) {
    this.#store = store;
    this.#lease = lease;
    // Where puts may not survive a power failure, the packs may be damaged.
    this.#isTaken = store.keepsPuts !== true;
  }

  /** Those that are there and that the newest root does not map. Only the first call returns any. */
  take(newest: () => Promise<PlacementIndex>): Promise<readonly UploadedPack[]> {
    return this.#queue.run(async () => {
      if (this.#isTaken) return [];
      const names = await this.#lease.inherited();
      const packs = names.length === 0 ? [] : await this.#unlisted(await newest(), names);
      this.#isTaken = true;
      return packs;
    });
  }

  /** `index` is read first: a pack that is still there then, and that the index does not drop, goes only in a later gcEpoch. */
  async #unlisted(index: PlacementIndex, names: readonly PackName[]): Promise<readonly UploadedPack[]> {
    const { pack: own, manifest } = index.object;
    const known = new Set([...manifest.dropping, ...manifest.loose.map(({ name }) => name), own.name]);
    const found = await mapConcurrent(names, STORE_CONCURRENCY, async (name) => {
      const pack = known.has(name) ? undefined : await this.#stored(name);
      return pack === undefined ? [] : [pack];
    });
    const packs = found.flat();
    const mapped = (await index.locate(packs.flatMap(({ footer }) => samplesOf(footer)))).found;
    const listed = new Set([...mapped.values()].map(({ pack }) => pack));
    return packs.filter(({ pack }) => !listed.has(pack.name));
  }

  /** Undefined: it is not there, or is damaged. */
  #stored(name: PackName): Promise<UploadedPack | undefined> {
    return unlessDamaged(async () => {
      const { footer, shape } = await readFooter((length) => this.#store.getTail(name, length), COMMIT_TAIL_BYTES);
      return { pack: { name, ...shape }, footer };
    });
  }
}

/** How many blocks of a pack are looked up to tell whether a root maps it: each may be mapped in another pack. */
const SAMPLES = 8;

function samplesOf(footer: PackFooter): Cid[] {
  return [...footer].slice(0, SAMPLES).map(({ digest }) => cidFromDigest("raw", digest));
}
