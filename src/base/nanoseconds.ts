/** Times in nanoseconds since 1970, as signed 64-bit numbers hold them: the years 1677 to 2262. */

const MAX_NS = 2n ** 63n - 1n;

/** The time itself, or the nearest in that range: disks and clients may give times beyond it. */
export function heldInRange(ns: bigint): bigint {
  if (BigInt.asIntN(64, ns) === ns) return ns;
  return ns < 0n ? -MAX_NS - 1n : MAX_NS;
}
