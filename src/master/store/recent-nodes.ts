/** The nodes that writers stored last, of all owners: the next writers read them first. Bounded by their bytes together. */
import { ByteBoundedMap } from "../../base/byte-bounded-map.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { RECENT_BYTES, RECENT_NODE_BYTES } from "../limits.ts";

export class RecentNodes {
  readonly #nodes = new ByteBoundedMap<string, Uint8Array>(RECENT_BYTES, ({ length }) => length + ENTRY_BYTES);

  /** Records a stored block. Copies it: the caller keeps its memory. */
  note(owner: Wallet, cid: Cid, bytes: Uint8Array): void {
    if (bytes.length > RECENT_NODE_BYTES || codecOf(cid) === "raw") return;
    this.#nodes.set(keyOf(owner, cid), new Uint8Array(bytes));
  }

  get(owner: Wallet, cid: Cid): Uint8Array | undefined {
    return this.#nodes.get(keyOf(owner, cid));
  }
}

/** What an entry takes in memory besides the node. */
const ENTRY_BYTES = 512;

function keyOf(owner: Wallet, cid: Cid): string {
  return `${owner}/${cid}`;
}
