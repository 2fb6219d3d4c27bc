/** Copies what packs must keep into new ones, then condemns them. The first change of the log enters all new packs. */
import type { Arbiter, NewPack } from "../../arbiter/arbiter.ts";
import { addAll, inBatches, inPortions } from "../../base/collections.ts";
import type { Wallet } from "../../base/ids.ts";
import { describeError, type Log } from "../../base/log.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import { CHANGED_PACKS } from "../limits.ts";
import type { PackChoice } from "./rewriting-plan.ts";
import type { SharedBlocks } from "./shared-blocks.ts";

export interface Rewriting {
  readonly owner: Wallet;
  readonly arbiter: Pick<Arbiter, "packs">;
  readonly blocks: SharedBlocks;
  readonly leaseMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Returns the packs that were condemned: those whose blocks could not be read stay as they are. */
export async function rewritePacks(options: Rewriting, packs: readonly PackChoice[]): Promise<PackChoice[]> {
  const { arbiter, owner, blocks, leaseMs, signal, log } = options;
  const add: (NewPack & { readonly rows: number })[] = [];
  const done: PackChoice[] = [];
  let begun = Infinity;
  for (const group of inBatches(packs, ({ liveBytes }) => liveBytes, { bytes: PACK_TARGET_BYTES })) {
    signal.throwIfAborted();
    const kept: Block[] = [];
    for (const use of group) {
      try {
        const found = await blocks.getMany(use.needed.map(({ digest }) => cidFromDigest("raw", digest)));
        for (const [cid, bytes] of found) kept.push({ cid, bytes });
        done.push(use);
      } catch (error) {
        log.error("a pack stays: some of its blocks cannot be read", {
          owner,
          pack: use.pack,
          error: describeError(error),
        });
      }
    }
    if (kept.length === 0) continue;
    const { built, pack, begunMs } = await blocks.writer.store(kept);
    begun = Math.min(begun, begunMs);
    add.push({ pack, bytes: built.pack.size, rows: built.pack.rows });
  }
  if (done.length === 0) return [];
  const begunMs = Number.isFinite(begun) ? begun : blocks.follower.earlierMs;
  const condemned: PackChoice[] = [];
  for (const portion of inPortions(done, CHANGED_PACKS)) {
    signal.throwIfAborted();
    const condemn = portion.map(({ pack }) => pack);
    const isFirst = condemned.length === 0;
    const entering = isFirst ? { add, begunMs } : { add: [], begunMs: blocks.follower.earlierMs };
    const live = await arbiter.packs.change(owner, { ...entering, condemn, patienceMs: leaseMs });
    // It took longer than a lease, so nothing was condemned.
    if (live.size < entering.add.length) break;
    addAll(condemned, portion);
  }
  await blocks.follower.refresh();
  return condemned;
}
