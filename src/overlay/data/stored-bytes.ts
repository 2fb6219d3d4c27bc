/**
 * How many bytes the data files take, without asking the disk. A range that became a hole and is written again counts
 * twice, but a file never counts more than its length.
 */
import type { Segment } from "../../fstree/change-set.ts";

interface Stored {
  readonly bytes: number;
  readonly end: number;
}

const NOTHING: Stored = { bytes: 0, end: 0 };

export class StoredBytes {
  readonly #files = new Map<string, Stored>();
  readonly #unneeded = new Set<string>();
  #total = 0;
  /** Everything that was ever added. */
  grown = 0;

  /** Includes files that are to be removed. */
  get total(): number {
    return this.#total;
  }

  /** Whether files are to be removed. */
  get isShrinking(): boolean {
    return this.#unneeded.size > 0;
  }

  /** The file got `fresh` bytes that it lacked, and has bytes up to `end`. */
  grew(name: string, fresh: number, end: number): void {
    const before = this.#files.get(name) ?? NOTHING;
    this.grown += fresh;
    this.#set(name, { bytes: before.bytes + fresh, end: Math.max(before.end, end) });
  }

  /** After a start: counts the segments of a change set or an inode, in files with these names. */
  found(segments: readonly Segment[], nameOf: (epoch: number) => string): void {
    const files = new Map<string, Stored>();
    for (const { from, epoch, offset, length } of segments) {
      if (from !== "data") continue;
      const name = nameOf(epoch);
      files.set(name, { bytes: (files.get(name) ?? NOTHING).bytes + length, end: offset + length });
    }
    for (const [name, { bytes, end }] of files) {
      const before = this.#files.get(name) ?? NOTHING;
      this.#set(name, { bytes: Math.max(before.bytes, bytes), end: Math.max(before.end, end) });
    }
  }

  /** The file is to be removed, and counts until then. */
  unneeded(name: string): void {
    this.#unneeded.add(name);
  }

  removed(name: string): void {
    this.#unneeded.delete(name);
    this.#total -= (this.#files.get(name) ?? NOTHING).bytes;
    this.#files.delete(name);
  }

  #set(name: string, { bytes, end }: Stored): void {
    const capped = Math.min(bytes, end);
    this.#total += capped - (this.#files.get(name) ?? NOTHING).bytes;
    this.#files.set(name, { bytes: capped, end });
  }
}
