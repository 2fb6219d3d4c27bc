/** Randomness that repeats for a seed: for tests that must not differ between runs. */
import type { Random } from "../base/random.ts";

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  // mulberry32: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)), fraction: next };
}
