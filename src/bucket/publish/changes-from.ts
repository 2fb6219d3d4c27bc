/** What an overlay must refresh once its epoch is in a root. */
import type { Cid, FileId } from "../../base/ids.ts";
import type { BaseChange } from "../../fstree/change-set.ts";
import { allOf, differences, entriesOf } from "../../fstree/differences.ts";
import type { EpochTree } from "./workspace.ts";

/** How others changed the epoch's own tree. Undefined: too much to list, or unknown. */
export async function differencesFrom(
  { built, nodes, baseGone }: EpochTree,
  tree: Cid,
): Promise<BaseChange[] | undefined> {
  return baseGone ? undefined : differences(nodes, built.ours, tree);
}

/** How the new root differs from what the overlay showed. `theirs`: the differences from the epoch's own tree. */
export async function changesFrom(
  epochTree: EpochTree,
  tree: Cid,
  theirs: BaseChange[] | undefined,
): Promise<BaseChange[] | undefined> {
  const { built, nodes } = epochTree;
  if (theirs === undefined) return undefined;
  return allOf([theirs, built.unseen, succeeded(epochTree), await entriesOf(nodes, tree, folded(epochTree))]);
}

/** Names of objects that got another id, or in a directory that did: new and former names may lead elsewhere by now. */
function succeeded({ built, objects }: EpochTree): BaseChange[] {
  return [...objects].flatMap(([ino, { id, names }]) => {
    const ours = built.objects.get(ino);
    const isSame = ours?.id === id;
    if (isSame && names.every(({ parent }, index) => parent === ours.names[index]?.parent)) return [];
    const [before, after] = isSame ? [undefined, id] : [id, ours?.id];
    const places = [...names, ...(ours?.names ?? [])];
    return places.map(({ parent, name }) => ({ kind: "dentry" as const, parent, name, before, after }));
  });
}

/** Directories that became others, whose contents were not seen here. */
function folded({ built, objects }: EpochTree): FileId[] {
  const changed = [...objects].filter(([ino, { id, record }]) => {
    return record.type === "directory" && built.objects.get(ino)?.id !== id;
  });
  return changed.map(([, { id }]) => id);
}
