/**
 * What a growing pack holds for certain, found without changing it: the rows of its journal, or of its footer if that was
 * written, without unflushed ones.
 *
 * Only the last batch can be in doubt: its blocks in the index were acknowledged; the others count if all of their bytes
 * are there. If the index knows rows that the journal lacks, the journal was damaged; then the index's rows count too.
 */
import { MAX_BLOCK_ACCEPTED } from "../../base/limits.ts";
import { blake3 } from "../../crypto/hash.ts";
import { digestText } from "../../format/blocks/cid.ts";
import { type PackRow, PLAIN } from "../../format/blocks/pack.ts";
import type { BlockIndex } from "./block-index.ts";
import type { PackPosition } from "./open-pack.ts";
import { footerOf, type PackFile } from "./pack-disk.ts";
import type { ByteRange } from "../../objects/object-store.ts";
import { allIntact } from "../../packs/block-check.ts";
import { byOffset, endOf, gapsIn, isBefore } from "../../packs/pack-rows.ts";
import { readJournal, type RowJournal, rowsPerhapsIn } from "./row-journal.ts";

export interface UnfinishedPack {
  /** All rows that count, in any order. */
  readonly rows: readonly PackRow[];
  /** Those of `rows` not known to be acknowledged: they may exist in the system's memory only. */
  readonly doubtful: readonly PackRow[];
  readonly position: PackPosition;
  /** It has its footer, but not yet its final name. */
  readonly sealed: boolean;
  /** The journal lost rows, which a crash cannot cause. Nothing may be appended to the pack then. */
  readonly damaged: boolean;
  /** Bytes with unknown block boundaries: a footer would hide them. */
  readonly unnamed: number;
}

/** `journal`: undefined if missing; `index`: what is known to be acknowledged. Throws the system's errors. */
export async function inspectUnfinished(
  name: string,
  file: PackFile,
  journal: PackFile | undefined,
  index: BlockIndex | undefined,
): Promise<UnfinishedPack> {
  const rows = readJournal(journal === undefined ? Buffer.alloc(0) : await journal.read(0, await journal.size()));
  const answered = index?.packs().find((pack) => pack.name === name)?.end ?? 0;
  const known = (row: PackRow) => {
    // Even rows that a collection removed from it.
    if (isBefore(row, answered)) return true;
    const place = index?.find(row.digest);
    return place?.pack === name && place.offset === row.offset && place.length === row.length;
  };
  return (await withFooter(file, rows, known)) ?? (await withoutFooter(name, file, rows, { known, answered, index }));
}

/** A pack that lacks only its final name. */
async function withFooter(
  file: PackFile,
  { frames, end: rowsEnd }: RowJournal,
  known: (row: PackRow) => boolean,
): Promise<UnfinishedPack | undefined> {
  const rows = [...((await footerOf(file).catch(() => undefined)) ?? [])];
  const named = new Set(rows.map(keyOf));
  const journaled = new Set(frames.flatMap((frame) => frame.rows.map(keyOf)));
  // A block may look like a pack's end, and be the last one. But our own footer names every row of the journal,
  const unnamed = frames.flatMap((frame) => frame.rows).filter((row) => !named.has(keyOf(row)));
  // or one copy of each block that is in the pack twice.
  const copies = new Map(rows.map((row) => [digestText(row.digest), row]));
  const others = unnamed.map(({ digest }) => copies.get(digestText(digest)));
  if (rows.length === 0 || !(await areIntact(file, others))) return undefined;
  const doubtful = rows.filter((row) => !journaled.has(keyOf(row)) && !known(row));
  if (!(await allIntact(file, doubtful))) return undefined;
  const position = { end: endOf(rows), rows: rows.length, rowsEnd, frames: frames.length };
  return { rows, doubtful, position, sealed: true, damaged: false, unnamed: 0 };
}

/** Whether all rows exist and their bytes match. */
function areIntact(file: PackFile, rows: readonly (PackRow | undefined)[]): Promise<boolean> {
  const there = rows.filter((row) => row !== undefined);
  return there.length === rows.length ? allIntact(file, there) : Promise.resolve(false);
}

/** What was acknowledged, according to an index. */
interface Known {
  readonly known: (row: PackRow) => boolean;
  /** Bytes of blocks. */
  readonly answered: number;
  readonly index: BlockIndex | undefined;
}

async function withoutFooter(
  name: string,
  file: PackFile,
  { frames, damaged, lost }: RowJournal,
  { known, answered, index }: Known,
): Promise<UnfinishedPack> {
  const last = frames.at(-1)?.rows ?? [];
  // The rows of a batch enter the index together.
  const inDoubt = last.some(known) ? [] : last;
  const isWhole = await allIntact(file, inDoubt);
  const [doubtful, kept] = isWhole ? [inDoubt, frames] : [[], frames.slice(0, -1)];
  const rows = kept.flatMap((frame) => frame.rows);
  const { end: rowsEnd, number } = kept.at(-1) ?? { end: 0, number: -1 };
  const position = { end: endOf(rows), rows: rows.length, rowsEnd, frames: number + 1 };
  if (!damaged && position.end >= answered && isSeamless(rows)) {
    return { rows, doubtful, position, sealed: false, damaged: false, unnamed: 0 };
  }
  // The index knows which acknowledged rows count, and later rows that an earlier recovery found. The remaining rows are
  // searched in what is left of the journal.
  const indexed = [...(index?.rowsOf(name) ?? [])].filter(({ offset, length }) => offset + length <= answered);
  const said = [...rows, ...indexed];
  const perhaps = lost.flatMap((bytes) => [...rowsPerhapsIn(bytes)]);
  const size = await file.size();
  const proven = await provable(file, [...said, ...perhaps.filter(({ offset, length }) => offset + length <= size)]);
  const gaps = gapsIn([...said, ...proven], answered, answered === 0 ? size : endOf(proven));
  const guessed = await provable(file, [...proven, ...(await wholeGaps(file, gaps))]);
  const end = answered === 0 ? size : Math.max(endOf(proven), answered);
  return {
    rows: guessed,
    doubtful: [],
    position: { ...position, end, rows: guessed.length },
    sealed: false,
    damaged: true,
    unnamed: gaps.reduce((sum, { length }) => sum + length, 0),
  };
}

/** A gap between known blocks may be a single block whose row is lost; any other is never requested. */
async function wholeGaps(file: PackFile, gaps: readonly ByteRange[]): Promise<PackRow[]> {
  const rows: PackRow[] = [];
  for (const { offset, length } of gaps) {
    const bytes = length > MAX_BLOCK_ACCEPTED ? undefined : await file.read(offset, length).catch(() => undefined);
    if (bytes !== undefined) rows.push({ digest: blake3(bytes), offset, length, codec: PLAIN });
  }
  return rows;
}

/** Rows that match the bytes, each once, without overlapping ones: after damage nothing else shows which are right. */
async function provable(file: PackFile, rows: readonly PackRow[]): Promise<PackRow[]> {
  const proven = new Map<string, PackRow>();
  let end = 0;
  for (const row of rows.toSorted(byOffset)) {
    const digest = digestText(row.digest);
    if (row.offset < end || proven.has(digest)) continue;
    // Unreadable rows do not match, but the others may.
    if (!(await allIntact(file, [row]).catch(() => false))) continue;
    proven.set(digest, row);
    end = row.offset + row.length;
  }
  return [...proven.values()];
}

function isSeamless(rows: readonly PackRow[]): boolean {
  return gapsIn(rows, 0, endOf(rows)).length === 0 && rows.reduce((sum, { length }) => sum + length, 0) === endOf(rows);
}

function keyOf({ digest, offset }: PackRow): string {
  return `${offset} ${digestText(digest)}`;
}
