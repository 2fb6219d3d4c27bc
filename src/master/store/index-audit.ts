/** Compares an owner's index with its packs, by digest, side by side. */
import { cidFromDigest } from "../../format/blocks/cid.ts";
import { type BlockIndex, type IndexedBlock, PACK_STATES } from "./block-index.ts";
import { type DataDamage, dataDamage } from "./damage.ts";
import { isBefore } from "../../packs/pack-rows.ts";

type Row = IndexedBlock & { readonly digest: Buffer };

/**
 * `found`: the packs' blocks; those that a root reaches are marked complete. `holds`: whether an intact copy lies at
 * another place, if two packs have the block. Memory: the differences.
 */
export async function auditIndex(
  index: BlockIndex,
  found: BlockIndex,
  holds: (row: Row) => Promise<boolean>,
): Promise<DataDamage[]> {
  // How far the index must know each pack.
  const ends = new Map(
    index.packs().map((pack) => [pack.name, pack.sealed === PACK_STATES.growing ? pack.end : Infinity]),
  );
  const isNeeded = (row: Row) => isBefore(row, ends.get(row.pack) ?? 0) && found.isComplete(row.digest);
  const damage: DataDamage[] = [];
  let [blocks, bytes] = [0, 0];
  for (const [said, seen] of sideBySide(index.rows(), found.rows())) {
    if (said !== undefined) {
      blocks++;
      bytes += said.length;
    }
    const what = await disagreement(said, seen, isNeeded, holds);
    const row = said ?? seen;
    if (what === undefined || row === undefined) continue;
    const where = { cid: cidFromDigest("raw", row.digest), pack: row.pack, offset: row.offset };
    damage.push(dataDamage("index", what, where));
  }
  const totals = index.totals();
  if (totals.blocks !== blocks || totals.bytes !== bytes) {
    const told = `${totals.blocks} blocks of ${totals.bytes} bytes`;
    damage.push(dataDamage("index", `the index counts ${told}, but lists ${blocks} of ${bytes} bytes`));
  }
  return damage;
}

async function disagreement(
  said: Row | undefined,
  seen: Row | undefined,
  isNeeded: (row: Row) => boolean,
  holds: (row: Row) => Promise<boolean>,
): Promise<string | undefined> {
  if (said === undefined) {
    // The next start enters what a growing pack gained; and garbage may be forgotten before its pack is removed.
    return seen !== undefined && isNeeded(seen) ? "the index lacks a block that a root reaches" : undefined;
  }
  if (seen === undefined) return "the index lists a block that its pack lacks";
  const same = said.pack === seen.pack && said.offset === seen.offset && said.length === seen.length;
  if (same || (await holds(said))) return undefined;
  return "the index gives a wrong location for a block";
}

/** Merges two lists ordered by digest; equal digests are paired. */
function* sideBySide(
  left: IterableIterator<Row>,
  right: IterableIterator<Row>,
): Generator<readonly [Row | undefined, Row | undefined]> {
  let [a, b] = [next(left), next(right)];
  while (a !== undefined || b !== undefined) {
    const order = a === undefined ? 1 : b === undefined ? -1 : Buffer.compare(a.digest, b.digest);
    yield [order <= 0 ? a : undefined, order >= 0 ? b : undefined];
    [a, b] = [order <= 0 ? next(left) : a, order >= 0 ? next(right) : b];
  }
}

function next(rows: IterableIterator<Row>): Row | undefined {
  const step = rows.next();
  return step.done === true ? undefined : step.value;
}
