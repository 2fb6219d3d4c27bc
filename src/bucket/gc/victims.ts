/** Which packs a collection takes: those that hold nothing any more, those that hold much garbage, and the small ones. */
import type { PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";

/** A pack as the collector knows it. */
export interface PackState {
  readonly name: PackName;
  /** Bytes of the whole object. */
  readonly size: number;
  /** Bytes of its blocks that must stay and that are read from here. */
  readonly live: number;
}

/** Packs that one swap drops at most: each is 33 bytes in every commit object until the second swap. */
export const DROPPED_AT_ONCE = 16_384;
/** Packs with a larger part of garbage are written anew. */
export const GARBAGE_PART = 0.25;
/** Small packs are put together, once there are so many of them that it is worth writing them again. */
const MANY_SMALL = 32;
/** Smaller packs are small ones. */
export const SMALL_PACK_BYTES = PACK_TARGET_BYTES / 4;

/** The packs to be dropped; where there are more than DROPPED_AT_ONCE, first those that give back most for what has to be copied. */
export function chooseVictims(packs: readonly PackState[]): PackState[] {
  const small = packs.filter(({ size, live }) => live > 0 && size < SMALL_PACK_BYTES);
  const isWorth = ({ size, live }: PackState) =>
    live === 0 || size - live > size * GARBAGE_PART || (size < SMALL_PACK_BYTES && small.length >= MANY_SMALL);
  // The smallest of the live ones first: they cost least, and are most.
  const order = (a: PackState, b: PackState) => a.live - b.live || b.size - a.size;
  const victims = packs.filter(isWorth);
  return victims.length <= DROPPED_AT_ONCE ? victims : victims.sort(order);
}
