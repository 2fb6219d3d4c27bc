/**
 * Parts of blocks in a disk cache. A block has one hash, so a part cannot be verified by itself. Parts are read only of blocks
 * that were found intact not long ago, so damage by a disk is noticed that much later. They are read only from the system's page
 * cache, so that no read waits for the disk. After a read, the index must still have the block there: another thread removes a
 * block from the index before it frees the bytes. Hashes of parts would change the format.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Clock } from "../base/clock.ts";
import type { Cid } from "../base/ids.ts";
import type { SizedBlock } from "./block-store.ts";
import type { CachedPlace, CacheIndex } from "./cache-index.ts";
import type { PlacedBlock } from "./cache-runs.ts";
import type { CacheStorage } from "./cache-storage.ts";

interface Known extends PlacedBlock {
  readonly untilMs: number;
}

export class PartReads {
  readonly #disk: CacheStorage;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #known = new BoundedMap<Cid, Known>(MOST_KNOWN);
  /** Until when a segment counts as not in memory. */
  readonly #coldUntilMs = new BoundedMap<number, number>(MOST_COLD);

  constructor(disk: CacheStorage, clock: Pick<Clock, "monotonicMs">) {
    this.#disk = disk;
    this.#clock = clock;
  }

  /** A block was just written or read there, and is intact. */
  note(block: PlacedBlock): void {
    this.#known.set(block.cid, { ...block, untilMs: this.#clock.monotonicMs() + BELIEVED_MS });
  }

  /** Whether a part of the block can probably be read. */
  isAtHand(cid: Cid): boolean {
    const known = this.#knownAt(cid);
    const coldUntilMs = known && this.#coldUntilMs.get(known.place.segment);
    return known !== undefined && (coldUntilMs === undefined || this.#clock.monotonicMs() >= coldUntilMs);
  }

  /** Fills `target`, and returns where the block is; undefined: it cannot. Throws the system's errors, and SQLite's. */
  read(index: CacheIndex, { cid, length }: SizedBlock, offset: number, target: Uint8Array): CachedPlace | undefined {
    const known = this.#knownAt(cid);
    if (known === undefined || known.place.length !== length) return undefined;
    const { place, digest } = known;
    const read = this.#disk.readNow === undefined ? 0 : this.#disk.readNow(place.name, place.offset + offset, target);
    if (read === undefined) return undefined;
    if (read < target.length) {
      this.#coldUntilMs.set(place.segment, this.#clock.monotonicMs() + COLD_MS);
      return undefined;
    }
    // Another thread takes a block off the index before it frees its bytes, so these were still there.
    const now = index.find(digest);
    if (now?.segment === place.segment && now.offset === place.offset) return place;
    this.#known.delete(cid);
    return undefined;
  }

  #knownAt(cid: Cid): Known | undefined {
    const known = this.#known.get(cid);
    return known !== undefined && this.#clock.monotonicMs() < known.untilMs ? known : undefined;
  }
}

/** The blocks of a file of 4 GiB. Takes some 5 MiB of memory. */
const MOST_KNOWN = 16_384;
/** How long a block counts as intact. Then it is read whole and verified again, since disks damage old data. */
const BELIEVED_MS = 10 * 60 * 1_000;
const MOST_COLD = 256;
/** For how long the blocks of a segment that is not in memory are read whole, and ahead. */
const COLD_MS = 1_000;
