/** Blocks as a CAR that is made while it is sent: a little is read ahead of the reader, and its memory counted. */
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
  /** On whose share it counts. */
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** A CAR of those of `cids` that are there, in their order. `slabs`: of ANSWER_BATCH_BYTES. */
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

/** `bytes`: of the blocks, and what may be read along with them. */
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
  // Not after a failure, or where its reader went away: it may be read or written to for a while.
  if (isWhole) slabs.give(slab);
}

/** In this memory as far as it goes. Without those that went away, or were found damaged, since they were asked for; then it is not whole. */
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
