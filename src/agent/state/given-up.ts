/** What a mount showed last and no longer shows, once a person accepted a root that does not follow it. */
import { ADOPT_NODES } from "../../base/limits.ts";
import type { Cid } from "../../base/ids.ts";
import { isGone } from "../../blocks/not-found.ts";
import { unless } from "../../base/unless.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { countChanges } from "../../bucket/change-counts.ts";
import { descends } from "../../bucket/history.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import { NodeStore } from "../../tree/node-store.ts";

export interface GivenUp {
  readonly root: Cid;
  readonly accepted: Cid;
  /** How many names differ between the two. Undefined: neither this machine nor the bucket has the whole old tree. */
  readonly names: number | undefined;
}

/** Undefined: nothing. Throws as reading the bucket does. */
export async function givenUp(bucket: Bucket, last: BaseRoot): Promise<GivenUp | undefined> {
  const { commit: head } = await bucket.head();
  if ((await descends(bucket, head, { cid: last.commit, seq: last.seq })) !== "no") return undefined;
  const nodes = new NodeStore(bucket.blocks, ADOPT_NODES);
  const counted = await unless(isGone, () => countChanges(nodes, head.body.tree, last.tree));
  const names = counted && counted.added + counted.changed + counted.removed;
  return names === 0 ? undefined : { root: last.commit, accepted: head.cid, names };
}
