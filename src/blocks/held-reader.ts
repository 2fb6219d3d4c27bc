/** Reads only blocks that are on this machine. */
import type { Cid } from "../base/ids.ts";
import type { BlockReader } from "./block-store.ts";
import { blockNotFound } from "./not-found.ts";

/** `held` returns those of the blocks that are here. Calls of the reader throw `block_not_found` for others. */
export function heldReader(held: (cids: readonly Cid[]) => Promise<ReadonlyMap<Cid, Uint8Array>>): BlockReader {
  const getMany = async (cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> => {
    const found = await held(cids);
    return new Map(
      cids.map((cid) => {
        const bytes = found.get(cid);
        if (bytes === undefined) throw blockNotFound(cid);
        return [cid, bytes];
      }),
    );
  };
  const get = async (cid: Cid) => (await getMany([cid])).get(cid) ?? new Uint8Array();
  return { get, getMany };
}
