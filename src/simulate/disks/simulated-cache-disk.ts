/**
 * The folder of a block cache on a simulated disk: segments and their index. It is never synced: power loss removes or
 * tears anything, and reads may return a flipped bit.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { CachedPlace, CachedRow, CacheIndex, CacheSegment } from "../../blocks/cache-index.ts";
import type { CacheStorage, SegmentWriter } from "../../blocks/cache-storage.ts";

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
  readonly #files: Map<string, Uint8Array>;
  #rows: Rows | undefined;

  constructor(options: CacheDiskOptions, files = new Map<string, Uint8Array>(), rows?: Rows) {
    this.#options = options;
    this.#files = files;
    this.#rows = rows;
  }

  openIndex(): CacheIndex {
    if (this.#rows === undefined) this.#files.clear();
    this.#rows ??= { segments: new Map(), blocks: new Map(), next: 1 };
    return indexOf(this.#rows, (rows) => rows === this.#rows);
  }

  removeIndex(): void {
    this.#rows = undefined;
  }

  async create(name: string): Promise<SegmentWriter> {
    this.#checkSpace();
    this.#files.set(name, new Uint8Array());
    return {
      write: async (offset, parts) => {
        this.#checkSpace();
        const before = this.#files.get(name) ?? new Uint8Array();
        this.#files.set(name, new Uint8Array(Buffer.concat([before.subarray(0, offset), ...parts])));
      },
      close: async () => {},
    };
  }

  async read(name: string, offset: number, target: Uint8Array): Promise<number> {
    const bytes = this.#files.get(name);
    if (bytes === undefined) throw new NoSuchFile();
    const read = this.#options.flipped(bytes.slice(offset, offset + target.length));
    target.set(read);
    return read.length;
  }

  forget(): void {}

  remove(name: string): void {
    this.#files.delete(name);
  }

  spare(): number {
    return this.#options.isFull() ? 0 : 1e9;
  }

  async close(): Promise<void> {}

  /** The disk as the next process finds it. */
  afterKill(): SimulatedCacheDisk {
    return new SimulatedCacheDisk(this.#options, new Map(this.#files), this.#rows && copyOf(this.#rows));
  }

  /** The index survives or not. Each file is missing, whole, cut, or zeroed from some offset on. */
  afterPowerLoss(): SimulatedCacheDisk {
    const { random } = this.#options;
    const files = new Map<string, Uint8Array>();
    for (const [name, bytes] of this.#files) {
      const chance = random.fraction();
      if (chance < 0.2) continue;
      if (chance < 0.4) files.set(name, bytes.slice(0, Math.floor(bytes.length * random.fraction())));
      else if (chance < 0.6) files.set(name, bytes.slice().fill(0, Math.floor(bytes.length * random.fraction())));
      else files.set(name, bytes);
    }
    const rows = this.#rows && random.fraction() < 0.8 ? copyOf(this.#rows) : undefined;
    return new SimulatedCacheDisk(this.#options, files, rows);
  }

  #checkSpace(): void {
    if (this.#options.isFull()) throw new SynclineError("disk_full", "The simulated disk is full.");
  }
}

class NoSuchFile extends Error {
  readonly code = "ENOENT";
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
    isPresent: () => isPresent(rows),
    close: () => {},
  };
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex");
}
