/**
 * The parameters for cutting files into chunks: stored in genesis, fixed for a bucket.
 *
 * Every writer of a bucket must cut alike, or equal files would not be equal blocks. Chunks grow with the file: with one size,
 * either small files would deduplicate badly or large ones have long lists. A file that outgrows a size is cut anew once.
 */
import { SynclineError } from "../../base/errors.ts";
import { MAX_BLOCK_MADE, MAX_LIST_ENTRIES, MIN_HOLE_BYTES } from "../../base/limits.ts";

export interface ChunkerParameters {
  /** The cutting rule: content/chunker.ts. */
  readonly id: "gear/1";
  /** The mean chunk size, a power of two in bytes, for files of more than `above` bytes; ascending, starting above 0. */
  readonly averages: readonly { readonly above: number; readonly average: number }[];
  /** Runs of zeros of at least this many bytes are holes. */
  readonly minHole: number;
  /** Entries of a list node: at least `min` (except in the last node), `min + mean` on average, at most `max`. */
  readonly list: { readonly min: number; readonly mean: number; readonly max: number };
}

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** The parameters of new buckets (docs/reference/formats.md, Content). */
export const DEFAULT_CHUNKER: ChunkerParameters = {
  id: "gear/1",
  averages: [
    { above: 0, average: 64 * KiB },
    { above: 64 * MiB, average: 256 * KiB },
    { above: 16 * GiB, average: 512 * KiB },
  ],
  minHole: MIN_HOLE_BYTES,
  list: { min: 32, mean: 96, max: MAX_LIST_ENTRIES },
};

const MIN_AVERAGE = 64;

/** Throws `feature_unknown` for a chunker of a later version, `format_invalid` for values out of bounds. */
export function checkChunker(chunker: ChunkerParameters): ChunkerParameters {
  if (chunker.id !== "gear/1") {
    throw new SynclineError(
      "feature_unknown",
      `The bucket chunks files with ${JSON.stringify(chunker.id)}, which this version does not support.`,
      { hint: "Install a newer version of syncline." },
    );
  }
  const { averages, list, minHole } = chunker;
  const ascending = averages.every(({ above }, index) => above > (averages[index - 1]?.above ?? -1));
  const cuttable = averages.every(({ average }) => {
    return average >= MIN_AVERAGE && average <= MAX_BLOCK_MADE && Number.isInteger(Math.log2(average));
  });
  const branching = list.min >= 2 && list.mean >= 1 && list.max > list.min && list.max <= MAX_LIST_ENTRIES;
  const whole = [minHole, list.min, list.mean, list.max, ...averages.map(({ above }) => above)].every(
    Number.isSafeInteger,
  );
  if (averages[0]?.above !== 0 || !ascending || !cuttable || !branching || !whole || minHole < MIN_AVERAGE) {
    throw new SynclineError("format_invalid", "The bucket's chunker parameters are out of bounds.");
  }
  return chunker;
}
