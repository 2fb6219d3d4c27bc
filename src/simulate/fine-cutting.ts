/** Chunking so fine that even small files have chunk lists of several levels. The mean size doubles above 9,000 bytes. */
import { DEFAULT_CHUNKER } from "../format/files/chunker.ts";

export const FINE_CUTTING = {
  chunker: {
    ...DEFAULT_CHUNKER,
    averages: [
      { above: 0, average: 64 },
      { above: 9_000, average: 128 },
    ],
    minHole: 100,
    list: { min: 2, mean: 2, max: 6 },
  },
  inlineBytes: 40,
};
