/**
 * Rows that make a valid footer of whatever is in a pack: each digest once, without gaps or overlaps. What none of the rows names, as after
 * damage, stands as blocks of its own that nobody will ask for.
 */
import { blake3 } from "../../crypto/hash.ts";
import { digestText } from "../../format/cid.ts";
import { type PackRow, PLAIN } from "../../format/pack.ts";
import type { PackFile } from "./pack-disk.ts";

/** Rows for the bytes [0, end): of `rows`, those that name a digest first, and others for what they leave. Throws the system's errors. */
export async function footerRows(file: PackFile, rows: readonly PackRow[], end: number): Promise<PackRow[]> {
  const used = new Set<string>();
  const named: PackRow[] = [];
  let covered = 0;
  for (const row of rows.toSorted(byOffset)) {
    if (row.offset < covered || used.has(digestText(row.digest))) continue;
    used.add(digestText(row.digest));
    named.push(row);
    covered = row.offset + row.length;
  }
  const all: PackRow[] = [];
  let at = 0;
  for (const row of named) {
    for await (const filler of fillers(file, at, row.offset, used)) all.push(filler);
    all.push(row);
    at = row.offset + row.length;
  }
  for await (const filler of fillers(file, at, end, used)) all.push(filler);
  return all;
}

/** Whether the rows name a digest twice. */
export function haveDuplicates(rows: readonly PackRow[]): boolean {
  return new Set(rows.map(({ digest }) => digestText(digest))).size < rows.length;
}

export function byOffset(a: PackRow, b: PackRow): number {
  return a.offset - b.offset || a.length - b.length;
}

const FILLER_BYTES = 4 * 1024 * 1024;

async function* fillers(file: PackFile, from: number, to: number, used: Set<string>): AsyncGenerator<PackRow> {
  for (let at = from; at < to;) {
    let bytes = await file.read(at, Math.min(FILLER_BYTES, to - at));
    let digest = blake3(bytes);
    // Stretches that are alike get lengths that are not.
    while (used.has(digestText(digest)) && bytes.length > 1) {
      bytes = bytes.subarray(0, bytes.length - 1);
      digest = blake3(bytes);
    }
    used.add(digestText(digest));
    yield { digest, offset: at, length: bytes.length, codec: PLAIN };
    at += bytes.length;
  }
}
