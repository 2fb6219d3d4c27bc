/**
 * The extents of a file, sorted and gapless, in chunks. An insertion moves at most a few hundred extents, although a database
 * that writes at random may have hundreds of thousands.
 */
import type { Segment } from "../../fstree/change-set.ts";

/** `epoch`: of a hole, the epoch that made it, or 0 for holes of the base. Of "base": 0. */
export type Extent = Segment;

/** A chunk with more is split. */
const CHUNK_EXTENTS = 256;

export class ExtentList {
  /** Most files have one extent: a literal takes room for one, an array that is pushed to takes room for 17. */
  #first: Extent[] = [];
  /** The other chunks, none of them empty. Most files have none. */
  #rest: Extent[][] | undefined;

  get last(): Extent | undefined {
    return (this.#rest?.at(-1) ?? this.#first).at(-1);
  }

  get length(): number {
    return (this.#rest ?? []).reduce((sum, { length }) => sum + length, this.#first.length);
  }

  *[Symbol.iterator](): Generator<Extent> {
    yield* this.#first;
    for (const chunk of this.#rest ?? []) yield* chunk;
  }

  /** The extents in order, beginning with the one at this offset. */
  *from(offset: number): Generator<Extent> {
    let index = this.#chunkOf(offset);
    let at = indexIn(this.#chunk(index), offset);
    for (; index <= (this.#rest?.length ?? 0); index++, at = 0) {
      const chunk = this.#chunk(index);
      for (let extent = chunk[at]; extent !== undefined; extent = chunk[++at]) yield extent;
    }
  }

  /** Appends an extent. It is joined to the last one if both are of one kind. */
  push(extent: Extent): void {
    if (this.#first.length === 0) {
      this.#first = [extent];
      return;
    }
    const chunk = this.#rest?.at(-1) ?? this.#first;
    joinTo(chunk, extent);
    if (chunk.length > CHUNK_EXTENTS) (this.#rest ??= []).push(chunk.splice(-1));
  }

  /** Replaces the extents that overlap or touch a range with what `edit` returns: none only if the whole file is truncated. */
  replace(offset: number, end: number, edit: (touching: readonly Extent[]) => Extent[]): void {
    // An extent that ends where the range begins touches it.
    const first = this.#chunkOf(offset - 1);
    const head = this.#chunk(first);
    const start = indexIn(head, offset - 1);
    const touching: Extent[] = [];
    let [last, tail, behind] = [first, head, start];
    for (;;) {
      const extent = tail[behind];
      if (extent !== undefined && extent.offset <= end) {
        touching.push(extent);
        behind++;
      } else if (extent === undefined && last < (this.#rest?.length ?? 0)) {
        [last, behind] = [last + 1, 0];
        tail = this.#chunk(last);
      } else break;
    }
    const edited = edit(touching);
    if (last === first) head.splice(start, behind - start, ...edited);
    else {
      head.splice(start, head.length, ...edited, ...tail.slice(behind));
      this.#rest?.splice(first, last - first);
    }
    if (head.length > CHUNK_EXTENTS) (this.#rest ??= []).splice(first, 0, head.splice(head.length >>> 1));
  }

  #chunk(index: number): Extent[] {
    return (index === 0 ? this.#first : this.#rest?.[index - 1]) ?? [];
  }

  /** The index of the chunk that holds this offset; of the last chunk if none does. */
  #chunkOf(offset: number): number {
    let [low, high] = [0, this.#rest?.length ?? 0];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(this.#chunk(middle).at(-1)) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The index of the extent that holds this offset; the number of extents if none does. */
function indexIn(chunk: readonly Extent[], offset: number): number {
  let [low, high] = [0, chunk.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endOf(chunk[middle]) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function endOf(extent: Extent | undefined): number {
  return extent === undefined ? 0 : extent.offset + extent.length;
}

/** Appends an extent, or joins it to the last one if both are of one kind. */
export function joinTo(extents: Extent[], extent: Extent): void {
  const last = extents.at(-1);
  if (last !== undefined && last.from === extent.from && last.epoch === extent.epoch)
    extents[extents.length - 1] = { ...last, length: last.length + extent.length };
  else extents.push(extent);
}
