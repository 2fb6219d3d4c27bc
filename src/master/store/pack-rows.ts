/** What rows of a pack say about its bytes. */
import { blake3 } from "../../crypto/hash.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { PackFile } from "./pack-disk.ts";

export type Stretch = Pick<PackRow, "offset" | "length">;

export function byOffset(a: Stretch, b: Stretch): number {
  return a.offset - b.offset || a.length - b.length;
}

/** Where the last block ends. */
export function endOf(rows: readonly Stretch[]): number {
  return rows.reduce((end, { offset, length }) => Math.max(end, offset + length), 0);
}

/** Whether it lies within the first `end` bytes for certain: an empty block at `end` may have come later. */
export function isBefore({ offset, length }: Stretch, end: number): boolean {
  return offset < end && offset + length <= end;
}

/** The gaps between them in [from, to), by offset. */
export function gapsIn(rows: readonly Stretch[], from: number, to: number): Stretch[] {
  const gaps: Stretch[] = [];
  let at = from;
  for (const { offset, length } of [...rows.toSorted(byOffset), { offset: to, length: 0 }]) {
    const end = Math.min(offset, to);
    if (end > at) gaps.push({ offset: at, length: end - at });
    at = Math.max(at, offset + length);
  }
  return gaps;
}

/** Whether the bytes match the blocks' hashes. Throws the system's errors. */
export async function allIntact(file: PackFile, rows: readonly PackRow[]): Promise<boolean> {
  for (const { digest, offset, length } of rows) {
    const bytes = await file.read(offset, length);
    if (bytes.length !== length || Buffer.compare(blake3(bytes), digest) !== 0) return false;
  }
  return true;
}
