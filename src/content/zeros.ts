/** Finds runs of zero bytes by probing one byte per run length, so that other data costs next to nothing. */

/**
 * The start of the first run of zeros that is at least `least` long, or that touches `end` and so may grow; `end` if there
 * is none. Searches [from, end); a run counts from `from` at the earliest.
 */
export function findZeros(bytes: Uint8Array, from: number, end: number, least: number): number {
  let start = from; // No run that is long enough begins before this.
  let known = from; // [start, known) are zeros.
  while (start + least <= end) {
    let at = start + least - 1;
    while (at >= known && bytes[at] === 0) at--;
    if (at < known) return start;
    known = start + least;
    start = at + 1;
  }
  let tail = end;
  while (tail > known && bytes[tail - 1] === 0) tail--;
  return tail === known ? start : tail;
}

/** The end of the zeros from `from` on: `from` itself if there are none, at most `end`. */
export function zerosEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at + ZEROS.length <= end && ZEROS.compare(bytes, at, at + ZEROS.length) === 0) at += ZEROS.length;
  while (at < end && bytes[at] === 0) at++;
  return at;
}

const ZEROS = Buffer.alloc(64 * 1024);
