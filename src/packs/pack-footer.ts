/** Reads the footer of a pack, wherever the pack is stored. */
import { hasCode } from "../base/errors.ts";
import {
  decodeFooter,
  footerOffset,
  PACK_TAIL_BYTES,
  type PackFooter,
  type PackShape,
  readTail,
} from "../format/blocks/pack.ts";

/** The last `length` bytes of a pack, or all of them if it is shorter, and its whole size. */
export type ReadEnd = (length: number) => Promise<{ readonly bytes: Uint8Array; readonly size: number }>;

export interface FoundFooter {
  readonly footer: PackFooter;
  readonly manifest: Uint8Array;
  readonly shape: PackShape;
  /** What was read of its end. */
  readonly end: Uint8Array;
}

/**
 * Reads `guess` bytes first, and again if that does not reach back to the footer. Throws `format_invalid` if this is not a
 * complete pack, and as `readEnd`.
 */
export async function readFooter(readEnd: ReadEnd, guess = PACK_TAIL_BYTES): Promise<FoundFooter> {
  const { bytes, size } = await readEnd(guess).catch((error: unknown) => {
    // A bad sector among the blocks does not hide the footer.
    if (!hasCode(error, "block_corrupt") || guess === PACK_TAIL_BYTES) throw error;
    return readEnd(PACK_TAIL_BYTES);
  });
  const shape = readTail(bytes, size);
  const length = size - footerOffset(shape);
  const end = bytes.length >= length ? bytes : (await readEnd(length)).bytes;
  // A copy: a view would keep the blocks in memory as long as the footer.
  const own = new Uint8Array(end.subarray(Math.max(0, end.length - length)));
  return { ...decodeFooter(own, shape), shape, end };
}
