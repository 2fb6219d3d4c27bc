/** Blocks as the body of one call: a CAR whose length is known before it is sent, in pieces that a connection takes well. */
import { encodeCarBlockHead, encodeCarHeader } from "../format/car.ts";
import type { Block } from "./block-store.ts";

export interface CarBatch {
  readonly bytes: number;
  /** To be read once. */
  readonly pieces: Iterable<Uint8Array>;
}

/** Small blocks are put together into pieces of about this, which costs less than to send them one by one. */
const PIECE_BYTES = 64 * 1024;
/** Larger ones are sent as they lie in memory, which costs less than to copy them. */
const SMALL_BYTES = 16 * 1024;

export function carBatch(blocks: readonly Block[]): CarBatch {
  const header = encodeCarHeader();
  const heads = blocks.map(({ cid, bytes }) => encodeCarBlockHead(cid, bytes.length));
  const bytes = blocks.reduce((sum, block, at) => sum + (heads[at]?.length ?? 0) + block.bytes.length, header.length);
  return { bytes, pieces: piecesOf(header, heads, blocks) };
}

function* piecesOf(header: Uint8Array, heads: readonly Uint8Array[], blocks: readonly Block[]): Generator<Uint8Array> {
  let parts = [header];
  let held = header.length;
  for (const [at, { bytes }] of blocks.entries()) {
    const head = heads[at] ?? new Uint8Array();
    parts.push(head);
    held += head.length;
    if (bytes.length < SMALL_BYTES) {
      parts.push(bytes);
      held += bytes.length;
      if (held < PIECE_BYTES) continue;
    }
    yield Buffer.concat(parts);
    parts = [];
    held = 0;
    if (bytes.length >= SMALL_BYTES) yield bytes;
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}
