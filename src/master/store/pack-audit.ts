/**
 * Hashes every block of one owner's packs, and enters the packs' contents into a separate index, to compare the owner's
 * index with.
 */
import { addAll } from "../../base/collections.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { hasCode } from "../../base/errors.ts";
import { isUnreadableSector } from "../../base/system-errors.ts";
import { type BadRow, badRows } from "../../packs/block-check.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import { type BlockIndex, PACK_STATES } from "./block-index.ts";
import { type DataDamage, dataDamage } from "./damage.ts";
import { footerOf, type PackDisk, type PackFile } from "./pack-disk.ts";
import { endOf } from "../../packs/pack-rows.ts";
import { listPacks, openForReading, rowsPath } from "./pack-path.ts";
import { inspectUnfinished } from "./unfinished-pack.ts";

export interface PackAuditOptions {
  readonly disk: PackDisk;
  readonly folder: string;
  /** The owner's index; undefined if missing or unreadable. */
  readonly index: BlockIndex | undefined;
  /** Receives all blocks, with damaged ones marked. */
  readonly found: BlockIndex;
  readonly onBytes: (bytes: number) => void;
}

export interface PackAudit {
  readonly packs: number;
  readonly damage: readonly DataDamage[];
}

/** Throws the system's errors, except for reads of single blocks, which then count as damaged. */
export async function auditPacks(options: PackAuditOptions): Promise<PackAudit> {
  const { disk, folder, index } = options;
  const listed = await listPacks(disk, folder);
  const known = index?.packs() ?? [];
  // Whether or not the file still exists: the next start removes it.
  const left = new Set(known.flatMap(({ name, sealed }) => (sealed === PACK_STATES.left ? [name] : [])));
  const names = [...new Set([...listed.sealed, ...listed.open])].filter((name) => !left.has(name)).toSorted();
  const damage: DataDamage[] = [];
  await mapConcurrent(names, PACKS_AT_ONCE, async (name) => {
    addAll(damage, await auditPack(options, name, listed.sealed.has(name)));
  });
  for (const { name } of known) {
    if (!left.has(name) && !listed.sealed.has(name) && !listed.open.has(name) && index?.holdsAny(name) === true) {
      damage.push(dataDamage("pack", "the pack and its blocks are missing", { pack: name }));
    }
  }
  return { packs: names.length, damage };
}

const PACKS_AT_ONCE = 2;

async function auditPack(options: PackAuditOptions, name: string, sealed: boolean): Promise<DataDamage[]> {
  const { disk, folder, found } = options;
  const file = await openForReading(disk, folder, name);
  // Only another process in the folder could remove a pack meanwhile.
  if (file === undefined) return [dataDamage("pack", "the pack is missing", { pack: name })];
  try {
    const { rows, damage } = sealed ? await sealedRows(options, name, file) : await openRows(options, name, file);
    const bad = await badRows(file, rows, options.onBytes);
    return [...damage, ...enterRows(found, name, rows, bad)];
  } finally {
    await file.close();
  }
}

/** Bad rows are entered too, marked as damaged, so that intact copies elsewhere replace them. */
export function enterRows(
  found: BlockIndex,
  name: string,
  rows: readonly PackRow[],
  bad: readonly BadRow[],
): DataDamage[] {
  const pack = { name, sealed: PACK_STATES.sealed, end: endOf(rows) };
  const place = ({ offset, length }: PackRow) => `${offset}+${length}`;
  const isBad = new Set(bad.map(({ row }) => place(row)));
  found.add(
    pack,
    rows.filter((row) => !isBad.has(place(row))),
    0,
  );
  return bad.map(({ row, why }) => {
    found.add(pack, [row], 0);
    found.markDamaged(row.digest, { pack: name, ...row });
    const cid = cidFromDigest("raw", row.digest);
    return dataDamage("block", why, { pack: name, cid, offset: row.offset });
  });
}

interface FoundRows {
  readonly rows: readonly PackRow[];
  readonly damage: readonly DataDamage[];
}

async function sealedRows({ index }: PackAuditOptions, name: string, file: PackFile): Promise<FoundRows> {
  try {
    return { rows: [...(await footerOf(file))], damage: [] };
  } catch (error) {
    const why = hasCode(error, "format_invalid") ? error.message : whyUnread(error);
    if (why === undefined) throw error;
    const rows = [...(index?.rowsOf(name) ?? [])];
    const what = `${why} ${rows.length === 0 ? "Its contents are unknown." : "The index still knows its contents."}`;
    return { rows, damage: [dataDamage("footer", what, { pack: name })] };
  }
}

function whyUnread(error: unknown): string | undefined {
  return isUnreadableSector(error) ? "The disk cannot read the footer." : undefined;
}

async function openRows({ disk, folder, index }: PackAuditOptions, name: string, file: PackFile): Promise<FoundRows> {
  const journal = await disk.open(rowsPath(folder, name), "read");
  try {
    const { rows, damaged, unnamed } = await inspectUnfinished(name, file, journal, index);
    const rest = unnamed > 0 ? `the contents of ${unnamed} bytes are unknown` : "the index knows the missing rows";
    const what = `the journal of a growing pack is damaged; ${rest}`;
    return { rows, damage: damaged ? [dataDamage("footer", what, { pack: name })] : [] };
  } finally {
    await journal?.close();
  }
}
