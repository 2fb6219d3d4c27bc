import { createContentConfig } from "../../src/content/config.ts";
import { DEFAULT_CHUNKER } from "../../src/format/files/chunker.ts";

/** Small chunks, holes and nodes: small files have trees of several levels. The average doubles above 9,000 bytes. */
export const smallChunks = createContentConfig({
  chunker: {
    ...DEFAULT_CHUNKER,
    averages: [
      { above: 0, average: 64 },
      { above: 9_000, average: 128 },
    ],
    minHole: 100,
    list: { min: 2, mean: 2, max: 6 },
  },
  inlineLimit: 40,
});
