/** Releases memory after many reads. */
import type { Cid } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import type { IdleRelease } from "../../runtime/memory.ts";

/** Reads from `inner`, and releases memory a while after many reads: caches drop most of it again. */
export function releasingReader(inner: BlockReader, idleRelease: Pick<IdleRelease, "note">): BlockReader {
  let blocks = 0;
  const count = (some: number) => {
    blocks += some;
    if (blocks < MANY_BLOCKS) return;
    blocks = 0;
    idleRelease.note();
  };
  return {
    get: (cid) => {
      count(1);
      return inner.get(cid);
    },
    getMany: (cids: readonly Cid[]) => {
      count(cids.length);
      return inner.getMany(cids);
    },
    // Leaves no garbage.
    readInto: async (blocks, target) => (await inner.readInto?.(blocks, target)) ?? 0,
    readPart: (block, offset, target) => inner.readPart?.(block, offset, target) ?? false,
    isAtHand: (cid) => inner.isAtHand?.(cid) ?? false,
  };
}

/** 4 MiB of average nodes. */
const MANY_BLOCKS = 256;
