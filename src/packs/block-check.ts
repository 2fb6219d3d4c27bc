/** Compares the blocks of a pack with the hashes in its rows. */
import { unless } from "../base/unless.ts";
import { describeError } from "../base/log.ts";
import { isUnreadableSector } from "../base/system-errors.ts";
import { blake3 } from "../crypto/hash.ts";
import { cidFromDigest } from "../format/blocks/cid.ts";
import { type PackRow, PLAIN } from "../format/blocks/pack.ts";
import { partOf, planReads } from "./ranged-reads.ts";

export interface PackBytes {
  /** Fewer at the end of the pack. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export function packInMemory(bytes: Uint8Array): PackBytes {
  return { read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

/** Whether these bytes are the row's block. */
export function isBlockOf({ digest, length }: Pick<PackRow, "digest" | "length">, bytes: Uint8Array): boolean {
  return bytes.length === length && Buffer.compare(blake3(bytes), digest) === 0;
}

/** Whether all blocks are there and match. Throws as the pack's reads. */
export async function allIntact(pack: PackBytes, rows: readonly PackRow[]): Promise<boolean> {
  for (const row of rows) if (!isBlockOf(row, await pack.read(row.offset, row.length))) return false;
  return true;
}

/** Whether the block is there and matches; false on a bad sector. Throws as the pack's other reads. */
export async function holdsIntact(pack: PackBytes, row: PackRow): Promise<boolean> {
  return unless(isUnreadableSector, () => allIntact(pack, [row]), false);
}

export interface BadRow {
  readonly row: PackRow;
  /** A clause for people; its subject is the pack. */
  readonly why: string;
}

/** The rows whose bytes are wrong or unreadable. Reads neighbors together. */
export async function badRows(
  pack: PackBytes,
  rows: readonly PackRow[],
  onBytes: (bytes: number) => void,
): Promise<BadRow[]> {
  const bad: BadRow[] = [];
  for (const read of planReads(rows.map((row) => [cidFromDigest("raw", row.digest), row] as const))) {
    const bytes = await pack.read(read.offset, read.length).catch(() => undefined);
    for (const [, row] of read.blocks) {
      const why = bytes === undefined ? await whyUnreadable(pack, row) : whyWrong(row, partOf(read, bytes, row));
      if (why !== undefined) bad.push({ row, why });
    }
    onBytes(read.length);
  }
  return bad;
}

/** Checks one block by itself when its group cannot be read. */
async function whyUnreadable(pack: PackBytes, row: PackRow): Promise<string | undefined> {
  try {
    return whyWrong(row, await pack.read(row.offset, row.length));
  } catch (error) {
    return `cannot be read at ${row.offset} (${row.length} bytes): ${describeError(error)}`;
  }
}

function whyWrong(row: PackRow, bytes: Uint8Array): string | undefined {
  const { offset, length, codec } = row;
  if (codec !== PLAIN) return `holds a block with codec ${codec}, which this version does not know`;
  if (bytes.length !== length) return `ends inside the ${length}-byte block at ${offset}`;
  return isBlockOf(row, bytes) ? undefined : `holds bytes at ${offset} (${length}) that do not match the block's hash`;
}
