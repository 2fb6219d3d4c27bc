/**
 * A block that several packs hold is mapped once after a collection. The copy that stays must be intact: the others are no
 * longer mapped, and their packs go sooner or later.
 */
import { groupBy, inBatches } from "../../base/collections.ts";
import { unlessDamaged } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import { cidFromDigest, matchesCid } from "../../format/blocks/cid.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { byOffset } from "../../packs/pack-rows.ts";
import { readPlaced } from "../../packs/ranged-reads.ts";
import type { LiveRow, LiveRows } from "./live-rows.ts";

/** How much is read at once. */
const PIECE_BYTES = PACK_TARGET_BYTES / 4;

/**
 * Uses intact copies in place of damaged ones. Reads each block that is mapped several times, but not those in packs that
 * are `going`: copying them checks them.
 */
export async function useIntactCopies(store: ObjectStore, live: LiveRows, going: ReadonlySet<PackName>): Promise<void> {
  const staying = live.byPack((number, pack) => live.hasOthers(number) && !going.has(pack));
  const damaged = await damagedOf(store, staying);
  if (damaged.length === 0) return;
  const others = live.othersOf(new Set(damaged.map(({ number }) => number)));
  const unusable = new Set(await damagedOf(store, groupBy(others, ({ pack }) => pack).values()));
  for (const row of others) if (!unusable.has(row)) live.move(row);
}

/** Those whose bytes are missing or do not match their digest. Each array is of one pack. */
async function damagedOf(store: ObjectStore, packs: Iterable<readonly LiveRow[]>): Promise<LiveRow[]> {
  const found: LiveRow[] = [];
  for (const inPack of packs) {
    for (const batch of inBatches(inPack.toSorted(byOffset), ({ length }) => length, { bytes: PIECE_BYTES })) {
      const places = new Map(batch.map((row) => [cidFromDigest(row.kind, row.digest), row]));
      const read = await unlessDamaged(() => readPlaced(store, places));
      for (const row of batch) {
        const cid = cidFromDigest(row.kind, row.digest);
        const bytes = read?.get(cid);
        if (bytes === undefined || !matchesCid(cid, bytes)) found.push(row);
      }
    }
  }
  return found;
}
