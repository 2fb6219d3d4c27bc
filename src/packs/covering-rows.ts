/**
 * Rows for a valid footer of any pack: each digest once, without gaps or overlaps. Bytes without a row, as after damage,
 * become blocks of their own that are never requested.
 */
import { groupBy } from "../base/collections.ts";
import { blake3 } from "../crypto/hash.ts";
import { digestText } from "../format/blocks/cid.ts";
import { type PackRow, PLAIN } from "../format/blocks/pack.ts";
import { holdsIntact, type PackBytes } from "./block-check.ts";
import { byOffset } from "./pack-rows.ts";

/** Rows for the bytes [0, end): `rows`, first row of each digest, and others for the gaps. Throws the system's errors. */
export async function coveringRows(pack: PackBytes, rows: readonly PackRow[], end: number): Promise<PackRow[]> {
  const used = new Set<string>();
  const named: PackRow[] = [];
  let covered = 0;
  for (const row of (await withoutBadCopies(pack, rows)).toSorted(byOffset)) {
    if (row.offset < covered || used.has(digestText(row.digest))) continue;
    used.add(digestText(row.digest));
    named.push(row);
    covered = row.offset + row.length;
  }
  const all: PackRow[] = [];
  let at = 0;
  for (const row of named) {
    for await (const filler of fillers(pack, at, row.offset, used)) all.push(filler);
    all.push(row);
    at = row.offset + row.length;
  }
  for await (const filler of fillers(pack, at, end, used)) all.push(filler);
  return all;
}

/** Whether two rows have the same digest. */
export function haveDuplicates(rows: readonly PackRow[]): boolean {
  return new Set(rows.map(({ digest }) => digestText(digest))).size < rows.length;
}

/** Of blocks that occur more than once, keeps the intact copies, if there are any. */
async function withoutBadCopies(pack: PackBytes, rows: readonly PackRow[]): Promise<PackRow[]> {
  const copies = groupBy(rows, ({ digest }) => digestText(digest));
  const bad = new Set<PackRow>();
  for (const [, each] of copies) {
    if (each.length < 2) continue;
    const damaged: PackRow[] = [];
    for (const row of each) if (!(await holdsIntact(pack, row))) damaged.push(row);
    if (damaged.length < each.length) for (const row of damaged) bad.add(row);
  }
  return rows.filter((row) => !bad.has(row));
}

const FILLER_BYTES = 4 * 1024 * 1024;

async function* fillers(pack: PackBytes, from: number, to: number, used: Set<string>): AsyncGenerator<PackRow> {
  for (let at = from; at < to;) {
    let bytes = await pack.read(at, Math.min(FILLER_BYTES, to - at));
    let digest = blake3(bytes);
    // Gaps with equal bytes get different lengths.
    while (used.has(digestText(digest)) && bytes.length > 1) {
      bytes = bytes.subarray(0, bytes.length - 1);
      digest = blake3(bytes);
    }
    used.add(digestText(digest));
    yield { digest, offset: at, length: bytes.length, codec: PLAIN };
    at += bytes.length;
  }
}
