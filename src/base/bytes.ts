/** The order of byte strings, in plain loops, which win over native calls for the lengths of tree keys. */

/** Order of the bytes, shorter first: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** As compareBytes, between the bytes [aFrom, aTo) of `a` and [bFrom, bTo) of `b`. */
export function compareRanges(
  a: Uint8Array,
  aFrom: number,
  aTo: number,
  b: Uint8Array,
  bFrom: number,
  bTo: number,
): number {
  const aLength = aTo - aFrom;
  const bLength = bTo - bFrom;
  const shared = Math.min(aLength, bLength);
  for (let at = 0; at < shared; at++) {
    const difference = (a[aFrom + at] ?? 0) - (b[bFrom + at] ?? 0);
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}
