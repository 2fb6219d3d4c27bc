/** Streams blocks as a CAR while it is being made: reads a little ahead of the reader, within counted memory. */
import type { Cid } from "../../base/ids.ts";
import { ANSWER_BATCH_BYTES, READ_GAP_BYTES } from "../limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { carPieces } from "../../blocks/car-batch.ts";
import { isGone } from "../../blocks/not-found.ts";
import { encodeCarHeader } from "../../format/blocks/car.ts";
import type { FairBudget } from "../../http/fair-budget.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";
import type { Slabs } from "./slabs.ts";

export interface Reading {
  readonly blocks: OwnerBlocks;
  readonly answers: FairBudget;
  /** The owner whose memory share is charged. */
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** A CAR of those of `cids` that are present, in their order. `slabs`: of ANSWER_BATCH_BYTES. */
export async function* carOf(
  reading: Reading & { readonly slabs: Slabs },
  cids: readonly Cid[],
): AsyncGenerator<readonly Uint8Array[]> {
  yield [encodeCarHeader()];
  let batch: Cid[] = [];
  let bytes = 0;
  for (const cid of cids) {
    const length = await reading.blocks.size(cid);
    if (length === undefined) continue;
    const size = length + READ_GAP_BYTES;
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

/** `bytes`: those of the blocks, plus the gaps that may be read along. */
async function* carBlocks(
  reading: Parameters<typeof carOf>[0],
  cids: readonly Cid[],
  bytes: number,
): AsyncGenerator<readonly Uint8Array[]> {
  const { answers, slabs, owner, signal } = reading;
  const fits = bytes * 4 > ANSWER_BATCH_BYTES && bytes <= ANSWER_BATCH_BYTES;
  using _memory = await answers.hold(owner, fits ? ANSWER_BATCH_BYTES : bytes, signal);
  const slab = fits ? slabs.take() : Buffer.allocUnsafeSlow(bytes);
  const { found, isWhole } = await present(reading.blocks, cids, slab);
  const blocks = cids.flatMap((cid): Block[] => {
    const there = found.get(cid);
    return there === undefined ? [] : [{ cid, bytes: there }];
  });
  yield [...carPieces(blocks)];
  // Not after a failure or a disconnect: reads or writes of this memory may still be running.
  if (isWhole) slabs.give(slab);
}

/** Reads into `memory` while it has room. Not whole if blocks were lost or damaged since the request: skips those. */
async function present(
  blocks: OwnerBlocks,
  cids: readonly Cid[],
  memory: Buffer,
): Promise<{ found: Map<Cid, Uint8Array>; isWhole: boolean }> {
  let used = 0;
  const room = (length: number) => {
    if (used + length > memory.length) return Buffer.allocUnsafeSlow(length);
    used += length;
    return memory.subarray(used - length, used);
  };
  for (let wanted = cids; ;) {
    try {
      return { found: await blocks.getMany(wanted, room), isWhole: wanted === cids };
    } catch (cause) {
      if (!isGone(cause)) throw cause;
      const there = await blocks.has(wanted);
      if (there.size === wanted.length) throw cause;
      wanted = wanted.filter((cid) => there.has(cid));
    }
  }
}
