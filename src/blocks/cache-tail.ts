/** The segment that one cache appends to. Segments are dropped whole, so each ends after a while. */
import { failedWith } from "../base/system-errors.ts";
import { digestOf } from "../format/blocks/cid.ts";
import type { Block } from "./block-store.ts";
import type { CacheIndex, CacheSegment } from "./cache-index.ts";
import type { PlacedBlock } from "./cache-runs.ts";
import type { CacheStorage, SegmentWriter } from "./cache-storage.ts";

interface Growing {
  readonly segment: CacheSegment;
  readonly file: SegmentWriter;
  end: number;
}

export class CacheTail {
  readonly #disk: CacheStorage;
  readonly #mostBytes: number;
  #growing: Growing | undefined;

  constructor(disk: CacheStorage, mostBytes: number) {
    this.#disk = disk;
    this.#mostBytes = mostBytes;
  }

  get segment(): number | undefined {
    return this.#growing?.segment.id;
  }

  /** Appends blocks and enters them in the index. Returns their places; none if another thread dropped the segment. */
  async append(index: CacheIndex, blocks: readonly Block[]): Promise<readonly PlacedBlock[]> {
    const tail = await this.#write(index, blocks);
    const { id: segment, name } = tail.segment;
    let { end } = tail;
    const placed = blocks.map(({ cid, bytes: { length } }) => {
      const place = { segment, name, offset: end, length };
      end += length;
      return { cid, digest: digestOf(cid), place };
    });
    const rows = placed.map(({ digest, place: { offset, length } }) => ({ digest, offset, length }));
    const isThere = index.add(segment, rows);
    tail.end = end;
    if (!isThere || end >= this.#mostBytes) await this.close();
    return isThere ? placed : [];
  }

  /** The next blocks go into a new segment. */
  async close(): Promise<void> {
    const tail = this.#growing;
    this.#growing = undefined;
    await tail?.file.close();
  }

  /** The tail with the blocks behind its `end`; a new one if another thread removed it. */
  async #write(index: CacheIndex, blocks: readonly Block[]): Promise<Growing> {
    const tail = await this.#open(index);
    try {
      await tail.file.write(
        tail.end,
        blocks.map(({ bytes }) => bytes),
      );
      return tail;
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
      await this.close();
      index.dropSegment(tail.segment.id);
      return this.#write(index, blocks);
    }
  }

  async #open(index: CacheIndex): Promise<Growing> {
    if (this.#growing === undefined) {
      const segment = index.addSegment();
      this.#growing = { segment, file: await this.#disk.create(segment.name), end: 0 };
    }
    return this.#growing;
  }
}
