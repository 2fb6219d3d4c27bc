/**
 * Frees the disk space of some blocks of a cache. Segments are only appended to, so everything between the blocks that stay
 * is garbage. Whole gaps are freed, not single blocks, because a disk frees whole pages. A reader that looked a block up
 * before finds zeros, whose hash is wrong, and fetches it. Copying the blocks that stay would write up to a segment for a
 * small file, and make old blocks count as recently used.
 */
import { groupBy } from "../base/collections.ts";
import type { CachedRange, CacheIndex } from "./cache-index.ts";
import type { PlacedBlock } from "./cache-runs.ts";
import type { CacheStorage } from "./cache-storage.ts";

/** Returns the freed bytes of disk space. `tail`: the segment that this cache appends to. Throws as the ports do. */
export async function releaseBlocks(
  index: CacheIndex,
  disk: CacheStorage,
  blocks: readonly PlacedBlock[],
  tail: number | undefined,
): Promise<number> {
  const segments = groupBy(blocks, ({ place }) => place.segment);
  let freed = 0;
  for (const [segment, dropped] of segments) freed += await releaseIn(index, disk, segment, dropped, tail === segment);
  return freed;
}

async function releaseIn(
  index: CacheIndex,
  disk: CacheStorage,
  segment: number,
  dropped: readonly PlacedBlock[],
  isTail: boolean,
): Promise<number> {
  const name = dropped[0]?.place.name ?? "";
  const rows = dropped.map(({ digest, place }) => ({ digest, offset: place.offset, length: place.length }));
  const before = disk.taken(name);
  const left = index.dropBlocks(segment, rows);
  if (left.length === 0 && !isTail) {
    index.dropSegment(segment);
    disk.forget(name);
    disk.remove(name);
    return before;
  }
  if (!(await disk.freeRanges(name, gapsAt(rows, left)))) return 0;
  index.shrink(
    segment,
    rows.reduce((sum, { length }) => sum + length, 0),
  );
  return Math.max(0, before - disk.taken(name));
}

/**
 * The gaps between the remaining blocks that contain dropped ones. A gap behind the last block ends with what was dropped,
 * since another thread may be appending there.
 */
export function gapsAt(dropped: readonly CachedRange[], left: readonly CachedRange[]): CachedRange[] {
  const gaps: CachedRange[] = [];
  let [at, start] = [0, 0];
  for (const { offset, length } of dropped.toSorted((a, b) => a.offset - b.offset)) {
    for (let each = left[at]; each !== undefined && each.offset < offset; each = left[++at])
      start = each.offset + each.length;
    const end = left[at]?.offset ?? offset + length;
    const last = gaps.at(-1);
    if (last?.offset === start) gaps.pop();
    gaps.push({ offset: start, length: end - start });
  }
  return gaps;
}
