/** Blocks as a CAR that is made while it is sent: a little is read ahead of the reader, and its memory counted. */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { ANSWER_BATCH_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../format/car.ts";
import type { Shares } from "../http/shares.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";

export interface Reading {
  readonly blocks: OwnerBlocks;
  readonly answers: Shares;
  /** On whose share it counts. */
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** A CAR of those of `cids` that are there, in their order. */
export async function* carOf(reading: Reading, cids: readonly Cid[]): AsyncGenerator<Uint8Array> {
  yield encodeCarHeader();
  let batch: Cid[] = [];
  let bytes = 0;
  for (const cid of cids) {
    const size = await reading.blocks.size(cid);
    if (size === undefined) continue;
    if (bytes > 0 && bytes + size > ANSWER_BATCH_BYTES) {
      yield* carBlocks(reading, batch, bytes);
      batch = [];
      bytes = 0;
    }
    batch.push(cid);
    bytes += size;
  }
  yield* carBlocks(reading, batch, bytes);
}

/** One block in a CAR: small ones in one piece. */
export function* carBlock({ cid, bytes }: Block): Generator<Uint8Array> {
  const head = encodeCarBlockHead(cid, bytes.length);
  if (bytes.length <= MAX_JOINED_BYTES) yield Buffer.concat([head, bytes]);
  else yield* [head, bytes];
}

const MAX_JOINED_BYTES = 16 * 1024;
const MAX_PIECE_BYTES = 64 * 1024;

async function* carBlocks(reading: Reading, cids: readonly Cid[], bytes: number): AsyncGenerator<Uint8Array> {
  const { answers, owner, signal } = reading;
  await answers.take(owner, bytes, signal);
  try {
    let pieces: Uint8Array[] = [];
    let waiting = 0;
    const blocks = await present(reading.blocks, cids);
    for (const cid of cids) {
      const found = blocks.get(cid);
      if (found === undefined) continue;
      for (const piece of carBlock({ cid, bytes: found })) {
        if (piece.length <= MAX_JOINED_BYTES) {
          pieces.push(piece);
          waiting += piece.length;
          if (waiting < MAX_PIECE_BYTES) continue;
        }
        if (waiting > 0) yield Buffer.concat(pieces);
        pieces = [];
        waiting = 0;
        if (piece.length > MAX_JOINED_BYTES) yield piece;
      }
    }
    if (waiting > 0) yield Buffer.concat(pieces);
  } finally {
    answers.give(owner, bytes);
  }
}

/** Without those that went away, or were found damaged, since they were asked for. */
async function present(blocks: OwnerBlocks, cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
  for (let wanted = cids; ;) {
    try {
      return await blocks.getMany(wanted);
    } catch (cause) {
      if (!hasCode(cause, "block_not_found") && !hasCode(cause, "block_corrupt")) throw cause;
      const there = await blocks.has(wanted);
      if (there.size === wanted.length) throw cause;
      wanted = wanted.filter((cid) => there.has(cid));
    }
  }
}
