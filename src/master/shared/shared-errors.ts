/** The errors of reading and storing blocks at a master without state of its own. */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../base/limits.ts";
import type { CachedBlock } from "./pack-cache.ts";

export function entering(): SynclineError {
  return new SynclineError("store_unreachable", "Packs are being entered that the arbiter had lost. Try again later.");
}

export function tooLong(cid: Cid, bytes: number): SynclineError {
  return new SynclineError("limit_exceeded", `Block ${cid} has ${bytes} bytes; the limit is ${MAX_BLOCK_ACCEPTED}.`);
}

export function damaged(cid: Cid, { pack, offset }: CachedBlock): SynclineError {
  return new SynclineError("block_corrupt", `Block ${cid} is damaged in the store, at ${offset} of pack ${pack}.`, {
    hint: "Upload it again to heal it.",
  });
}
