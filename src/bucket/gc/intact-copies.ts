/**
 * A block that several packs hold is mapped once after a collection. The copy that stays must be intact: the others are no
 * longer mapped, and their packs go sooner or later.
 */
import { groupBy } from "../../base/collections.ts";
import { unlessDamaged } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import { cidFromDigest, matchesCid } from "../../format/blocks/cid.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { byOffset } from "../../packs/pack-rows.ts";
import { readPlaced } from "../../packs/ranged-reads.ts";
import { inBatches } from "../../packs/rewriting.ts";
import type { LiveRow } from "./inventory.ts";
import type { Plan } from "./planner.ts";

/** How much is read at once. */
const PIECE_BYTES = PACK_TARGET_BYTES / 4;

/**
 * Rows to use in place of those in `live`, by digestText: where that copy is damaged and another is not. Reads each block
 * that is mapped several times, but not those in packs that are `going`: copying them checks them.
 */
export async function intactCopies(
  store: ObjectStore,
  { live, copies }: Pick<Plan, "live" | "copies">,
  going: ReadonlySet<PackName>,
): Promise<ReadonlyMap<string, LiveRow>> {
  const staying = [...copies.keys()].flatMap((key): [string, LiveRow][] => {
    const row = live.get(key);
    return row === undefined || going.has(row.pack) ? [] : [[key, row]];
  });
  const damaged = await damagedOf(store, staying);
  const others = damaged.flatMap(([key]) => (copies.get(key) ?? []).map((row): [string, LiveRow] => [key, row]));
  const unusable = new Set((await damagedOf(store, others)).map(([, row]) => row));
  return new Map(others.filter(([, row]) => !unusable.has(row)));
}

/** Those whose bytes are missing or do not match their digest. */
async function damagedOf(
  store: ObjectStore,
  rows: readonly (readonly [string, LiveRow])[],
): Promise<(readonly [string, LiveRow])[]> {
  const found: (readonly [string, LiveRow])[] = [];
  for (const inPack of groupBy(rows, ([, { pack }]) => pack).values()) {
    const ordered = inPack
      .map(([key, row]) => ({ key, row, offset: row.offset, length: row.length }))
      .toSorted(byOffset);
    for (const batch of inBatches(ordered, { bytes: PIECE_BYTES, rows: Infinity })) {
      const places = new Map(batch.map(({ row }) => [cidFromDigest(row.kind, row.digest), row]));
      const read = await unlessDamaged(() => readPlaced(store, places));
      for (const { key, row } of batch) {
        const cid = cidFromDigest(row.kind, row.digest);
        const bytes = read?.get(cid);
        if (bytes === undefined || !matchesCid(cid, bytes)) found.push([key, row]);
      }
    }
  }
  return found;
}
