/**
 * The extents of a changed file: where each run of its bytes lies. Sorted, gapless from 0 to the file's size, adjacent runs
 * of one kind joined.
 */
import type { Segment } from "../../fstree/change-set.ts";
import { type ByteReader, type ByteWriter, corruptState } from "./bytes.ts";
import { type Extent, ExtentList, joinTo } from "./extent-list.ts";

const FROM_CODES = { base: 0, hole: 1, data: 2 } as const;
const FROM_NAMES = ["base", "hole", "data"] as const;

export class Extents {
  #list = new ExtentList();
  /** Computed on demand, and then kept up to date. */
  #stored: { data: number; base: number } | undefined;

  private constructor(extents: Iterable<Extent>) {
    for (const extent of extents) this.#list.push(extent);
  }

  /** A file that has only its base's bytes. */
  static ofBase(size: number): Extents {
    return new Extents(size === 0 ? [] : [{ offset: 0, length: size, from: "base", epoch: 0 }]);
  }

  static ofSegments(segments: readonly Segment[]): Extents {
    return new Extents(segments);
  }

  static read(reader: ByteReader): Extents {
    let offset = 0;
    const extents = reader.list(() => {
      const from = FROM_NAMES[reader.u8()];
      const length = reader.int();
      const epoch = reader.int();
      if (from === undefined || length <= 0) throw corruptState("An extent in the overlay is malformed.");
      offset += length;
      return { offset: offset - length, length, from, epoch };
    });
    return new Extents(extents);
  }

  write(writer: ByteWriter): void {
    writer.u32(this.#list.length);
    for (const { from, length, epoch } of this.#list) {
      writer.u8(FROM_CODES[from]);
      writer.int(length);
      writer.int(epoch);
    }
  }

  get size(): number {
    const { last } = this.#list;
    return last === undefined ? 0 : last.offset + last.length;
  }

  get dataBytes(): number {
    if (this.#stored !== undefined) return this.#stored.data;
    let bytes = 0;
    for (const { from, length } of this.#list) if (from === "data") bytes += length;
    return bytes;
  }

  /** Bytes outside holes, given the base's count of such bytes. Overwritten bytes of the base count at most twice. */
  storedBytes(baseDataBytes: number): number {
    if (this.#stored === undefined) {
      this.#stored = { data: 0, base: 0 };
      this.#count(this.#list, 1);
    }
    return this.#stored.data + Math.min(this.#stored.base, baseDataBytes);
  }

  /** `sign`: 1 for extents that were added, -1 for those that were removed. */
  #count(extents: Iterable<Extent>, sign: 1 | -1): void {
    if (this.#stored === undefined) return;
    for (const { from, length } of extents) if (from !== "hole") this.#stored[from] += sign * length;
  }

  /** Whether the file's bytes are exactly the first `size` bytes of its base. */
  isBase(size: number): boolean {
    const { last } = this.#list;
    if (last === undefined) return size === 0;
    return last.offset === 0 && last.from === "base" && last.length === size;
  }

  /** Whether any of the file's bytes are its base's. */
  get hasBase(): boolean {
    for (const { from } of this.#list) if (from === "base") return true;
    return false;
  }

  /** In order, valid until something changes. */
  all(): Iterable<Segment> {
    return this.#list;
  }

  /** As plain data, in order; the epochs of holes are left out. */
  segments(): Segment[] {
    return Array.from(this.#list, (extent) =>
      extent.from === "hole" && extent.epoch !== 0 ? { ...extent, epoch: 0 } : extent,
    );
  }

  /** The runs of [offset, offset + length), clipped to it; nothing past the end of the file. */
  *range(offset: number, length: number): Generator<Segment> {
    const end = offset + length;
    for (const extent of this.#list.from(offset)) {
      if (Math.max(extent.offset, offset) >= end) return;
      yield cut(extent, Math.max(offset, extent.offset), Math.min(end, extent.offset + extent.length));
    }
  }

  /** Puts [offset, offset + length) into the data file of `epoch`. Grows the file, with a hole in between. */
  setData(offset: number, length: number, epoch: number): void {
    this.#set({ offset, length, from: "data", epoch });
  }

  /** Makes [offset, offset + length) zeros; may grow the file. */
  setHole(offset: number, length: number, epoch: number): void {
    this.#set({ offset, length, from: "hole", epoch });
  }

  /** Truncates the file, or grows it by a hole. */
  resize(size: number, epoch: number): void {
    const before = this.size;
    if (size > before) this.#set({ offset: before, length: size - before, from: "hole", epoch });
    else if (size < before) this.#replace(size, Infinity, undefined);
  }

  /**
   * All changes of epochs up to `epoch` are in the base now: their runs become the base's. The new base has the same bytes
   * at the same offsets, up to the file's size when that epoch was sealed.
   */
  rebase(epoch: number): void {
    const extents = this.#list;
    this.#list = new ExtentList();
    this.#stored = undefined;
    for (const extent of extents) {
      const { offset, length } = extent;
      this.#list.push(extent.epoch <= epoch ? { offset, length, from: "base", epoch: 0 } : extent);
    }
  }

  #set(extent: Extent): void {
    const { offset, length, epoch } = extent;
    if (length === 0) return;
    const { size } = this;
    if (offset > size) this.#set({ offset: size, length: offset - size, from: "hole", epoch });
    if (offset < size) return this.#replace(offset, offset + length, extent);
    this.#list.push(extent);
    this.#count([extent], 1);
  }

  /** Replaces a range with `extent`, or removes it. */
  #replace(offset: number, end: number, extent: Extent | undefined): void {
    this.#list.replace(offset, end, (touching) => {
      const pieces: Extent[] = [];
      for (const one of touching) {
        if (one.offset < offset) joinTo(pieces, cut(one, one.offset, Math.min(offset, one.offset + one.length)));
      }
      if (extent !== undefined) joinTo(pieces, extent);
      for (const one of touching) {
        const after = one.offset + one.length;
        if (after > end) joinTo(pieces, cut(one, Math.max(end, one.offset), after));
      }
      this.#count(touching, -1);
      this.#count(pieces, 1);
      return pieces;
    });
  }
}

function cut(extent: Extent, from: number, to: number): Extent {
  return from === extent.offset && to === extent.offset + extent.length
    ? extent
    : { offset: from, length: to - from, from: extent.from, epoch: extent.epoch };
}
