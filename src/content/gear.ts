/**
 * Searches for the next cut by a gear hash: in JavaScript, or in the native addon if it loads, which is four times as fast.
 */
import { orElse } from "../base/unless.ts";
import { loadNative } from "../runtime/native.ts";

/**
 * The position after the first byte of [from, to) at which the hash, started at `first`, has no bit of `mask`; 0 if none.
 * `gear` has 256 words; 0 ≤ first ≤ from, to ≤ bytes.length.
 */
export type FindCut = (
  bytes: Uint8Array,
  gear: Int32Array,
  first: number,
  from: number,
  to: number,
  mask: number,
) => number;

/** About 1.1 GB/s: each byte depends on the one before, so unrolling gains nothing (measured). */
export const findCutPlain: FindCut = (bytes, gear, first, from, to, mask) => {
  let hash = 0;
  // Older bytes are shifted out, so a search can resume from the last 32 bytes without saved state.
  for (let at = Math.max(first, from - WINDOW_BYTES); at < from; at++) hash = next(hash, gear, bytes, at);
  for (let at = from; at < to; at++) {
    hash = next(hash, gear, bytes, at);
    if ((hash & mask) === 0) return at + 1;
  }
  return 0;
};

/** From native/gear.cc; undefined if the addon is not built, or too old to have this. */
export const findCutNative: FindCut | undefined = nativeCuts();

export const findCut: FindCut = findCutNative ?? findCutPlain;

const WINDOW_BYTES = 32;

function next(hash: number, gear: Int32Array, bytes: Uint8Array, at: number): number {
  return ((hash << 1) + (gear[bytes[at] as number] as number)) | 0;
}

function nativeCuts(): FindCut | undefined {
  return orElse(undefined, () => (loadNative() as { readonly findCut?: FindCut }).findCut);
}
