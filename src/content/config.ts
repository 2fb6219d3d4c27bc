/**
 * How a bucket's files are cut: the genesis parameters, prepared for use. Plain data, so that it can cross threads.
 *
 * The gear table derives from a seed. Plain buckets have an empty one, so that all cut alike; a sealed bucket will use its
 * own key, so that chunk lengths reveal nothing about known files.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import { DEFAULT_INLINE_BYTES, MAX_BLOCK_MADE, MAX_VALUE_BYTES } from "../base/limits.ts";
import { SynclineError } from "../base/errors.ts";
import { deriveHash } from "../crypto/hash.ts";
import { checkChunker, type ChunkerParameters, DEFAULT_CHUNKER } from "../format/files/chunker.ts";

export interface ContentConfig {
  readonly chunker: ChunkerParameters;
  /** Files up to this many bytes are stored in their record. */
  readonly inlineLimit: number;
  /** 256 words, one per byte value. */
  readonly gear: Int32Array;
}

/** Where cuts may fall in files of one size class. In bytes since the last cut. */
export interface CutRule {
  readonly min: number;
  /** Cuts are rare before this and frequent after it. */
  readonly normal: number;
  readonly max: number;
  /** A cut falls where the hash has none of the mask's bits: `rareMask` before `normal`, `frequentMask` after it. */
  readonly rareMask: number;
  readonly frequentMask: number;
  readonly minHole: number;
}

/** Throws `format_invalid` or `feature_unknown` if this version cannot cut by these parameters. */
export function createContentConfig(
  options: { chunker?: ChunkerParameters; inlineLimit?: number; seed?: Uint8Array } = {},
): ContentConfig {
  const { chunker = DEFAULT_CHUNKER, inlineLimit = DEFAULT_INLINE_BYTES, seed = new Uint8Array(0) } = options;
  if (!Number.isInteger(inlineLimit) || inlineLimit < 0 || inlineLimit > MAX_VALUE_BYTES / 2) {
    throw new SynclineError("format_invalid", `The bucket's inline limit of ${inlineLimit} bytes is out of bounds.`);
  }
  return { chunker: checkChunker(chunker), inlineLimit, gear: gearTable(chunker.id, seed) };
}

/**
 * The rule for a file of this size. A file that crosses from one size class to another is recut completely, so that its
 * cuts depend on its bytes alone, and never on how it grew.
 */
export function cutRule({ chunker }: ContentConfig, size: number): CutRule {
  const average = chunker.averages.findLast(({ above }) => size > above)?.average ?? chunker.averages[0]?.average ?? 0;
  const bits = Math.log2(average);
  return {
    min: average / 4,
    // With cuts four times as rare before this point and four times as frequent after it, the mean is 0.99 × the average.
    normal: (average / 16) * 13,
    max: Math.min(average * 4, MAX_BLOCK_MADE),
    rareMask: topBits(bits + NORMALISATION_BITS),
    frequentMask: topBits(bits - NORMALISATION_BITS),
    minHole: chunker.minHole,
  };
}

const NORMALISATION_BITS = 2;
const GEAR_WORDS = 256;

/** The top bits of a gear hash depend on the last 32 bytes, the low ones on fewer: so masks use the top. */
function topBits(count: number): number {
  return -1 << (32 - count);
}

/** By id and seed: all plain buckets of a process share one. */
const gearTables = new BoundedMap<string, Int32Array>(8);

function gearTable(id: string, seed: Uint8Array): Int32Array {
  const key = `${id} ${Buffer.from(seed).toString("hex")}`;
  const known = gearTables.get(key);
  if (known !== undefined) return known;
  const table = new Int32Array(GEAR_WORDS);
  for (let value = 0; value < GEAR_WORDS; value++) {
    const hash = deriveHash("syncline/gear/1", Buffer.from(id), Uint8Array.of(0, value), seed);
    table[value] = Buffer.from(hash).readInt32LE(0);
  }
  gearTables.set(key, table);
  return table;
}
