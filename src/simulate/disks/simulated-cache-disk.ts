/**
 * The folder of a block cache on a simulated disk: segments on a FaultyDisk, and their index. It is never synced, so power
 * loss may take or tear anything. Reads may return a flipped bit.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { CachedPlace, CachedRange, CachedRow, CacheIndex, CacheSegment } from "../../blocks/cache-index.ts";
import type { CacheStorage, SegmentWriter } from "../../blocks/cache-storage.ts";
import { FaultyDisk, systemError } from "./faulty-disk.ts";

interface Segment {
  readonly id: number;
  readonly name: string;
  counted: number;
  used: number;
}

interface Rows {
  readonly segments: Map<number, Segment>;
  /** By digest, in hex. */
  readonly blocks: Map<string, CachedPlace>;
  next: number;
}

export interface CacheDiskOptions {
  readonly random: Random;
  /** What a read returns instead of the stored bytes. */
  readonly flipped: (bytes: Uint8Array) => Uint8Array;
  readonly isFull: () => boolean;
}

export class SimulatedCacheDisk implements CacheStorage {
  readonly #options: CacheDiskOptions;
  readonly #disk: FaultyDisk;
  #rows: Rows | undefined;

  constructor(options: CacheDiskOptions, disk = new FaultyDisk(), rows?: Rows) {
    this.#options = options;
    this.#disk = disk;
    this.#rows = rows;
  }

  openIndex(): CacheIndex {
    if (this.#rows === undefined) for (const name of this.#disk.list(".")) this.remove(name);
    this.#rows ??= { segments: new Map(), blocks: new Map(), next: 1 };
    return indexOf(this.#rows, (rows) => rows === this.#rows);
  }

  removeIndex(): void {
    this.#rows = undefined;
  }

  async create(name: string): Promise<SegmentWriter> {
    this.#checkSpace();
    this.remove(name);
    const file = this.#disk.create(name);
    return {
      write: async (offset, parts) => {
        this.#checkSpace();
        file.write(offset, Buffer.concat(parts));
      },
      close: async () => file.close(),
    };
  }

  async read(name: string, offset: number, target: Uint8Array): Promise<number> {
    const file = this.#disk.open(name);
    if (file === undefined) throw systemError("ENOENT");
    const read = this.#options.flipped(file.read(offset, target.length));
    target.set(read);
    return read.length;
  }

  forget(): void {}

  remove(name: string): void {
    this.#disk.remove(name);
  }

  taken(name: string): number {
    return this.#disk.open(name)?.size() ?? 0;
  }

  /** Whether the simulated filesystem has holes. */
  async freeRanges(name: string, ranges: readonly CachedRange[]): Promise<boolean> {
    const file = this.#disk.open(name);
    if (file === undefined || this.#options.random.fraction() < 0.5) return false;
    for (const { offset, length } of ranges) file.write(offset, new Uint8Array(length));
    return true;
  }

  spare(): number {
    return this.#options.isFull() ? 0 : 1e9;
  }

  async close(): Promise<void> {}

  /** The disk as the next process finds it. */
  afterKill(): SimulatedCacheDisk {
    return new SimulatedCacheDisk(this.#options, this.#disk.copy(), this.#rows && copyOf(this.#rows));
  }

  /** The index survives or not. */
  afterPowerLoss(): SimulatedCacheDisk {
    const { random } = this.#options;
    const rows = this.#rows && random.fraction() < 0.8 ? copyOf(this.#rows) : undefined;
    return new SimulatedCacheDisk(this.#options, this.#disk.afterPowerLoss(random), rows);
  }

  #checkSpace(): void {
    if (this.#options.isFull()) throw new SynclineError("disk_full", "The simulated disk is full.");
  }
}

function copyOf({ segments, blocks, next }: Rows): Rows {
  const copies = [...segments].map(([id, segment]) => [id, { ...segment }] as const);
  return { segments: new Map(copies), blocks: new Map(blocks), next };
}

function indexOf(rows: Rows, isPresent: (rows: Rows) => boolean): CacheIndex {
  const { segments, blocks } = rows;
  return {
    get bytes() {
      return [...segments.values()].reduce((sum, { counted }) => sum + counted, 0);
    },
    find: (digest) => blocks.get(hex(digest)),
    reading: (work) => work(),
    addSegment: (): CacheSegment => {
      const id = rows.next++;
      const segment = { id, name: `${id}.blocks`, counted: 0, used: rows.next++ };
      segments.set(id, segment);
      return segment;
    },
    add(id, added: readonly CachedRow[]) {
      const segment = segments.get(id);
      if (segment === undefined) return false;
      for (const { digest, offset, length } of added) {
        blocks.set(hex(digest), { segment: id, name: segment.name, offset, length });
        segment.counted += length;
      }
      segment.used = rows.next++;
      return true;
    },
    use(ids) {
      for (const id of ids) {
        const segment = segments.get(id);
        if (segment !== undefined) segment.used = rows.next++;
      }
    },
    leastRecent: () => [...segments.values()].toSorted((a, b) => a.used - b.used)[0],
    dropSegment(id) {
      segments.delete(id);
      for (const [digest, place] of blocks) if (place.segment === id) blocks.delete(digest);
    },
    dropBlock(digest, { segment, offset }) {
      const place = blocks.get(hex(digest));
      if (place?.segment === segment && place.offset === offset) blocks.delete(hex(digest));
    },
    dropBlocks(id, dropped) {
      for (const { digest } of dropped) if (blocks.get(hex(digest))?.segment === id) blocks.delete(hex(digest));
      return [...blocks.values()].filter(({ segment }) => segment === id).toSorted((a, b) => a.offset - b.offset);
    },
    shrink(id, bytes) {
      const segment = segments.get(id);
      if (segment !== undefined) segment.counted = Math.max(0, segment.counted - bytes);
    },
    isPresent: () => isPresent(rows),
    close: () => {},
  };
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex");
}
