/** Copies what packs must keep into new ones, then condemns them: in one change of the log, and so in one era. */
import type { Arbiter, NewPack } from "../../arbiter/arbiter.ts";
import { inBatches } from "../../base/collections.ts";
import type { Wallet } from "../../base/ids.ts";
import { describeError, type Log } from "../../base/log.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { PackUse } from "./rewriting-plan.ts";
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
export async function rewritePacks(options: Rewriting, packs: readonly PackUse[]): Promise<PackUse[]> {
  const { arbiter, owner, blocks, leaseMs, signal, log } = options;
  const add: (NewPack & { readonly rows: number })[] = [];
  const done: PackUse[] = [];
  let begun = Infinity;
  const keptBytes = ({ needed }: PackUse) => needed.reduce((sum, { length }) => sum + length, 0);
  for (const group of inBatches(packs, keptBytes, { bytes: PACK_TARGET_BYTES })) {
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
  const condemn = done.map(({ pack }) => pack);
  const begunMs = Number.isFinite(begun) ? begun : blocks.follower.earlierMs;
  signal.throwIfAborted();
  const live = await arbiter.packs.change(owner, { add, condemn, begunMs, patienceMs: leaseMs });
  await blocks.follower.refresh();
  // It took longer than a lease, so nothing was condemned.
  return live.size < add.length ? [] : done;
}
