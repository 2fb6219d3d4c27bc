/** Chooses the packs that a collection takes: empty ones, those with much garbage, and small ones. */
import type { PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import { isWorthRewriting } from "../../packs/rewriting.ts";

/** A pack as the collector knows it. */
export interface PackState {
  readonly name: PackName;
  /** Bytes of the whole object. */
  readonly size: number;
  /** Bytes of its blocks that must stay and that are read from this pack. */
  readonly live: number;
}

/** The most packs that one swap drops: each is 33 bytes in every commit object until the second swap. */
export const DROPPED_AT_ONCE = 16_384;
/** Small packs are combined once there are this many, so that rewriting them is worthwhile. */
const MANY_SMALL = 32;
/** Packs below this size are small. */
export const SMALL_PACK_BYTES = PACK_TARGET_BYTES / 4;

/** The packs to drop. If there are more than DROPPED_AT_ONCE: those first that free the most per copied byte. */
export function chooseVictims(packs: readonly PackState[]): PackState[] {
  const small = packs.filter(({ size, live }) => live > 0 && size < SMALL_PACK_BYTES);
  const isWorth = ({ size, live }: PackState) =>
    live === 0 || isWorthRewriting({ bytes: size, live }) || (size < SMALL_PACK_BYTES && small.length >= MANY_SMALL);
  // Small live parts first: they cost least, and there are most of them.
  const order = (a: PackState, b: PackState) => a.live - b.live || b.size - a.size;
  const victims = packs.filter(isWorth);
  return victims.length <= DROPPED_AT_ONCE ? victims : victims.sort(order);
}
