/** Since when a version of a conflict is there, and since when nobody has changed it. */
import type { Cid, FileName } from "../../base/ids.ts";
import { lookup, type TreeObject } from "../../fstree/fs-reader.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { broughtBy } from "./brought-by.ts";
import { isUnchanged } from "./unchanged.ts";

/** Where to read versions: one tree, and its history. */
export interface ConflictSource {
  readonly bucket: Bucket;
  readonly nodes: NodeStore;
  readonly commit: VerifiedCommit;
}

/** The commit that gave this object its place, and since which `same` holds for it. */
export function bringer(
  { bucket, nodes, commit }: ConflictSource,
  object: TreeObject,
  path: readonly FileName[],
  same: (there: TreeObject, tree: Cid) => boolean | Promise<boolean>,
): Promise<VerifiedCommit> {
  const place = object.names.find(({ name }) => name === path.at(-1));
  if (place === undefined) return Promise.resolve(commit);
  return broughtBy(bucket, nodes, commit, async (tree) => {
    const there = await lookup(nodes, tree, place);
    return there !== undefined && (await same(there, tree));
  });
}

/** The last commit that changed a version, or anything below it. */
export function lastChange(
  source: ConflictSource,
  object: TreeObject,
  path: readonly FileName[],
): Promise<VerifiedCommit> {
  const now = { tree: source.commit.body.tree, object };
  return bringer(source, object, path, (there, tree) => isUnchanged(source.nodes, { tree, object: there }, now));
}
