/** Which blocks of a disk cache are read together: neighbors in one segment. */
import type { Cid } from "../base/ids.ts";
import { COALESCE_GAP_BYTES, MAX_RANGED_READ_BYTES } from "../base/limits.ts";
import { digestOf } from "../format/blocks/cid.ts";
import type { SizedBlock } from "./block-store.ts";
import type { CachedPlace, CacheIndex } from "./cache-index.ts";

/** A block, and where the cache has it. */
export interface PlacedBlock {
  readonly cid: Cid;
  readonly digest: Uint8Array;
  readonly place: CachedPlace;
}

/** The places of the first of these blocks, up to one that is absent. Throws SQLite's errors. */
export function firstWanted(blocks: readonly SizedBlock[], index: CacheIndex | undefined): PlacedBlock[] {
  const wanted: PlacedBlock[] = [];
  for (const { cid, length } of blocks) {
    const digest = digestOf(cid);
    const place = index?.find(digest);
    if (place === undefined || place.length !== length) break;
    wanted.push({ cid, digest, place });
  }
  return wanted;
}

/** Groups of nearby blocks, in the order of their places, whatever their order in `wanted`. */
export function nearRuns(wanted: readonly PlacedBlock[]): PlacedBlock[][] {
  const sorted = wanted.toSorted((a, b) => a.place.segment - b.place.segment || a.place.offset - b.place.offset);
  const runs: PlacedBlock[][] = [];
  for (const each of sorted) {
    const run = runs.at(-1);
    const [first, last] = [run?.[0]?.place, run?.at(-1)?.place];
    const { segment, offset, length } = each.place;
    const near = last?.segment === segment && offset - (last.offset + last.length) <= COALESCE_GAP_BYTES;
    if (run !== undefined && near && offset + length - (first?.offset ?? 0) <= MAX_RANGED_READ_BYTES) run.push(each);
    else runs.push([each]);
  }
  return runs;
}

/** Groups of directly adjacent blocks, in the order of `wanted`. */
export function adjacentRuns(wanted: readonly PlacedBlock[]): PlacedBlock[][] {
  const runs: PlacedBlock[][] = [];
  for (const each of wanted) {
    const run = runs.at(-1);
    const last = run?.at(-1)?.place;
    const { segment, offset } = each.place;
    if (run !== undefined && last?.segment === segment && last.offset + last.length === offset) run.push(each);
    else runs.push([each]);
  }
  return runs;
}

export function bytesOf(run: readonly PlacedBlock[]): number {
  return run.reduce((sum, { place }) => sum + place.length, 0);
}
