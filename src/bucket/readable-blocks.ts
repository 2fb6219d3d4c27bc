/** Blocks of which some may be lost. */
import { unlessDamaged } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockReader } from "../blocks/block-store.ts";

/** Those that can be read; a missing one does not prevent reading the others. */
export async function readableBlocks(blocks: BlockReader, cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
  const all = await unlessDamaged(() => blocks.getMany(cids));
  if (all !== undefined) return all;
  const found = new Map<Cid, Uint8Array>();
  for (const cid of cids) {
    const bytes = await unlessDamaged(() => blocks.get(cid));
    if (bytes !== undefined) found.set(cid, bytes);
  }
  return found;
}
