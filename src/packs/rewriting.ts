/** When a pack with garbage is written anew, and in which portions. */
import type { PackRow } from "../format/blocks/pack.ts";

/** Packs with a larger share of garbage are written anew. */
const GARBAGE_PART = 0.25;

/** Whether so many of a pack's bytes are garbage that copying the rest is worthwhile. */
export function isWorthRewriting({ bytes, live }: { readonly bytes: number; readonly live: number }): boolean {
  return bytes - live > bytes * GARBAGE_PART;
}

/** Batches in this order, of at most `rows` rows and `bytes` bytes, unless a single row is longer. */
export function* inBatches<Row extends Pick<PackRow, "length">>(
  all: readonly Row[],
  most: { readonly bytes: number; readonly rows: number },
): Generator<Row[]> {
  let batch: Row[] = [];
  let bytes = 0;
  for (const row of all) {
    if (batch.length > 0 && (bytes + row.length > most.bytes || batch.length >= most.rows)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(row);
    bytes += row.length;
  }
  if (batch.length > 0) yield batch;
}
