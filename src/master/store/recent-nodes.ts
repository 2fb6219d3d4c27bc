/** The nodes that an owner's writers stored last, which the next writer reads first. */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Cid } from "../../base/ids.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { RECENT_NODE_BYTES, RECENT_NODES } from "../limits.ts";

export class RecentNodes {
  readonly #nodes = new BoundedMap<Cid, Uint8Array>(RECENT_NODES);

  /** Records a stored block. Copies it: the caller keeps its memory. */
  note(cid: Cid, bytes: Uint8Array): void {
    if (bytes.length <= RECENT_NODE_BYTES && codecOf(cid) !== "raw") this.#nodes.set(cid, new Uint8Array(bytes));
  }

  get(cid: Cid): Uint8Array | undefined {
    return this.#nodes.get(cid);
  }
}
