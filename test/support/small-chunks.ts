import { createContentConfig } from "../../src/content/config.ts";
import { FINE_CUTTING } from "../../src/simulate/fine-cutting.ts";

/** Small files have lists of several levels. */
export const smallChunks = createContentConfig({
  chunker: FINE_CUTTING.chunker,
  inlineLimit: FINE_CUTTING.inlineBytes,
});
