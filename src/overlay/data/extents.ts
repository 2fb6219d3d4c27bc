/**
 * The extents of a changed file: where each run of its bytes lies. Sorted, gapless from 0 to the file's size, adjacent runs
 * of one kind joined. Each write costs O(log n) and a move of the array's tail.
 */
import type { Segment } from "../../fstree/change-set.ts";
import { type ByteReader, type ByteWriter, corruptState } from "./bytes.ts";

/** `epoch`: of a hole, the epoch that made it, or 0 for holes of the base. Of "base": 0. */
type Extent = Segment;

const FROM_CODES = { base: 0, hole: 1, data: 2 } as const;
const FROM_NAMES = ["base", "hole", "data"] as const;

export class Extents {
  #extents: Extent[];
  /** Computed on demand, and valid until something changes. */
  #stored: { readonly data: number; readonly base: number } | undefined;

  private constructor(extents: Extent[]) {
    this.#extents = extents;
  }

  /** A file that has only its base's bytes. */
  static ofBase(size: number): Extents {
    return new Extents(size === 0 ? [] : [{ offset: 0, length: size, from: "base", epoch: 0 }]);
  }

  static ofSegments(segments: readonly Segment[]): Extents {
    return new Extents([...segments]);
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
    writer.u32(this.#extents.length);
    for (const { from, length, epoch } of this.#extents) {
      writer.u8(FROM_CODES[from]);
      writer.int(length);
      writer.int(epoch);
    }
  }

  get size(): number {
    const last = this.#extents.at(-1);
    return last === undefined ? 0 : last.offset + last.length;
  }

  get dataBytes(): number {
    return this.#extents.reduce((sum, { from, length }) => (from === "data" ? sum + length : sum), 0);
  }

  /** Bytes outside holes, given the base's count of such bytes. Overwritten bytes of the base count at most twice. */
  storedBytes(baseDataBytes: number): number {
    this.#stored ??= this.#count();
    return this.#stored.data + Math.min(this.#stored.base, baseDataBytes);
  }

  #count(): { data: number; base: number } {
    const bytes = { data: 0, base: 0, hole: 0 };
    for (const { from, length } of this.#extents) bytes[from] += length;
    return bytes;
  }

  /** Whether the file's bytes are exactly the first `size` bytes of its base. */
  isBase(size: number): boolean {
    const [only] = this.#extents;
    if (this.#extents.length > 1) return false;
    return only === undefined ? size === 0 : only.from === "base" && only.length === size;
  }

  hasData(epoch: number): boolean {
    return this.#extents.some((extent) => extent.from === "data" && extent.epoch === epoch);
  }

  /** In order, valid until something changes. */
  all(): readonly Segment[] {
    return this.#extents;
  }

  /** As plain data, in order; the epochs of holes are left out. */
  segments(): Segment[] {
    return this.#extents.map((extent) =>
      extent.from === "hole" && extent.epoch !== 0 ? { ...extent, epoch: 0 } : extent,
    );
  }

  /** The runs of [offset, offset + length), clipped to it; nothing past the end of the file. */
  *range(offset: number, length: number): Generator<Segment> {
    const end = offset + length;
    for (let index = this.#find(offset); index < this.#extents.length; index++) {
      const extent = this.#extents[index];
      if (extent === undefined || Math.max(extent.offset, offset) >= end) return;
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
    else if (size < before) this.#cutAt(size);
  }

  /**
   * All changes of epochs up to `epoch` are in the base now: their runs become the base's. The new base has the same bytes
   * at the same offsets, up to the file's size when that epoch was sealed.
   */
  rebase(epoch: number): void {
    const extents = this.#extents.map((extent) =>
      extent.epoch <= epoch
        ? { offset: extent.offset, length: extent.length, from: "base" as const, epoch: 0 }
        : extent,
    );
    this.#extents = [];
    this.#stored = undefined;
    for (const extent of extents) this.#push(extent);
  }

  #set(extent: Extent): void {
    if (extent.length === 0) return;
    this.#stored = undefined;
    const size = this.size;
    if (extent.offset > size)
      this.#set({ offset: size, length: extent.offset - size, from: "hole", epoch: extent.epoch });
    const end = extent.offset + extent.length;
    const last = this.#extents.at(-1);
    if (last === undefined || extent.offset === last.offset + last.length) {
      this.#push(extent);
      return;
    }
    const first = this.#find(extent.offset);
    let behind = first;
    while ((this.#extents[behind]?.offset ?? Infinity) < end) behind++;
    const pieces: Extent[] = [];
    const left = this.#extents[first];
    const right = this.#extents[behind - 1];
    // Includes the adjacent runs, so that joining sees them.
    const from = Math.max(0, first - 1);
    const to = Math.min(this.#extents.length, behind + 1);
    for (let index = from; index < first; index++) joinTo(pieces, this.#extents[index]);
    if (left !== undefined && left.offset < extent.offset) joinTo(pieces, cut(left, left.offset, extent.offset));
    joinTo(pieces, extent);
    if (right !== undefined && right.offset + right.length > end)
      joinTo(pieces, cut(right, end, right.offset + right.length));
    for (let index = behind; index < to; index++) joinTo(pieces, this.#extents[index]);
    this.#extents.splice(from, to - from, ...pieces);
  }

  #push(extent: Extent): void {
    // Most files have one extent: a literal takes room for one, an array that is pushed to takes room for 17.
    if (this.#extents.length === 0) this.#extents = [extent];
    else joinTo(this.#extents, extent);
  }

  #cutAt(size: number): void {
    this.#stored = undefined;
    const index = this.#find(size);
    const extent = this.#extents[index];
    this.#extents.length = index;
    if (extent !== undefined && extent.offset < size) this.#extents.push(cut(extent, extent.offset, size));
  }

  /** The index of the extent that holds this offset; the number of extents if none does. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const extent = this.#extents[middle];
      if (extent !== undefined && extent.offset + extent.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function joinTo(extents: Extent[], extent: Extent | undefined): void {
  if (extent === undefined) return;
  const last = extents.at(-1);
  if (last !== undefined && last.from === extent.from && last.epoch === extent.epoch)
    extents[extents.length - 1] = { ...last, length: last.length + extent.length };
  else extents.push(extent);
}

function cut(extent: Extent, from: number, to: number): Extent {
  return from === extent.offset && to === extent.offset + extent.length
    ? extent
    : { offset: from, length: to - from, from: extent.from, epoch: extent.epoch };
}
