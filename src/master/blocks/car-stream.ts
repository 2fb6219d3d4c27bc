/** Blocks as a CAR that is made while it is sent: a little is read ahead of the reader, and its memory counted. */
import type { Cid } from "../../base/ids.ts";
import { ANSWER_BATCH_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { carPieces } from "../../blocks/car-batch.ts";
import { isGone } from "../../blocks/not-found.ts";
import { encodeCarHeader } from "../../format/car.ts";
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

async function* carBlocks(reading: Reading, cids: readonly Cid[], bytes: number): AsyncGenerator<Uint8Array> {
  const { answers, owner, signal } = reading;
  using _memory = await answers.hold(owner, bytes, signal);
  const found = await present(reading.blocks, cids);
  const blocks = cids.flatMap((cid): Block[] => {
    const there = found.get(cid);
    return there === undefined ? [] : [{ cid, bytes: there }];
  });
  yield* carPieces(blocks);
}

/** Without those that went away, or were found damaged, since they were asked for. */
async function present(blocks: OwnerBlocks, cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
  for (let wanted = cids; ;) {
    try {
      return await blocks.getMany(wanted);
    } catch (cause) {
      if (!isGone(cause)) throw cause;
      const there = await blocks.has(wanted);
      if (there.size === wanted.length) throw cause;
      wanted = wanted.filter((cid) => there.has(cid));
    }
  }
}
