/** The base of a collection: the newest root with its commit object. */
import { unlessDamaged } from "../../base/errors.ts";
import type { Bucket, CurrentRoot } from "../bucket.ts";
import type { CommitObject, PackDirectory } from "../packed/pack-directory.ts";

/** A root, and its commit object. */
export interface CollectionBase extends CurrentRoot {
  readonly object: CommitObject;
}

/** Throws as reading does where the root's object is damaged. */
export async function readCollectionBase(bucket: Bucket, directory: PackDirectory): Promise<CollectionBase> {
  for (;;) {
    const current = await bucket.head();
    const { cid } = current.commit;
    const { version } = current.root;
    const object = await unlessDamaged(() => directory.commitObject(cid, version));
    if (object !== undefined) return { ...current, object };
    // Either the root has moved meanwhile, or its object is damaged.
    if ((await bucket.head()).commit.cid === cid) await directory.commitObject(cid, version);
  }
}
