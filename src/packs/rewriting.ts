/** When a pack with garbage is written anew. */

/** Packs with a larger share of garbage are written anew. */
const GARBAGE_PART = 0.25;

/** Whether so many of a pack's bytes are garbage that copying the rest is worthwhile. */
export function isWorthRewriting({ bytes, live }: { readonly bytes: number; readonly live: number }): boolean {
  return bytes - live > bytes * GARBAGE_PART;
}
