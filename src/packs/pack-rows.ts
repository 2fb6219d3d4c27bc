/** What the rows of a pack say about its bytes. */
import type { ByteRange } from "../objects/object-store.ts";

export function byOffset(a: ByteRange, b: ByteRange): number {
  return a.offset - b.offset || a.length - b.length;
}

/** Where the last block ends. */
export function endOf(rows: readonly ByteRange[]): number {
  return rows.reduce((end, { offset, length }) => Math.max(end, offset + length), 0);
}

/** Whether it lies within the first `end` bytes for certain: an empty block at `end` may have come later. */
export function isBefore({ offset, length }: ByteRange, end: number): boolean {
  return offset < end && offset + length <= end;
}

/** The gaps between them in [from, to), by offset. */
export function gapsIn(rows: readonly ByteRange[], from: number, to: number): ByteRange[] {
  const gaps: ByteRange[] = [];
  let at = from;
  for (const { offset, length } of [...rows.toSorted(byOffset), { offset: to, length: 0 }]) {
    const end = Math.min(offset, to);
    if (end > at) gaps.push({ offset: at, length: end - at });
    at = Math.max(at, offset + length);
  }
  return gaps;
}
