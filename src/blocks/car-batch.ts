/** A CAR to upload: of known length, in pieces of a size that suits connections. */
import { carSectionBytes, encodeCarBlockHead, encodeCarHeader } from "../format/blocks/car.ts";
import type { Block } from "./block-store.ts";

export interface CarBatch {
  readonly bytes: number;
  /** Made anew for each iteration. */
  readonly pieces: Iterable<Uint8Array>;
}

/** Small blocks are joined into pieces of about this size, which is cheaper than sending them one by one. */
const PIECE_BYTES = 64 * 1024;
/** Larger blocks are sent without copying, which is cheaper. */
const SMALL_BYTES = 16 * 1024;

export function carBatch(blocks: readonly Block[]): CarBatch {
  const header = encodeCarHeader();
  const bytes = blocks.reduce((sum, block) => sum + carSectionBytes(block.bytes.length), header.length);
  return { bytes, pieces: { [Symbol.iterator]: () => carPieces(blocks, header) } };
}

/** The sections of these blocks, behind `before`. */
export function* carPieces(blocks: Iterable<Block>, before?: Uint8Array): Generator<Uint8Array> {
  let parts = before === undefined ? [] : [before];
  let held = before?.length ?? 0;
  for (const { cid, bytes } of blocks) {
    const head = encodeCarBlockHead(cid, bytes.length);
    const isSmall = bytes.length < SMALL_BYTES;
    const together = isSmall ? [head, bytes] : [head];
    for (const part of together) held += part.length;
    parts.push(...together);
    if (isSmall && held < PIECE_BYTES) continue;
    yield Buffer.concat(parts);
    parts = [];
    held = 0;
    if (!isSmall) yield bytes;
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}
