/**
 * The objects of an epoch under the ids by which the merged tree knows them: one that was born twice was split, a directory may
 * have folded into another. Who has them open goes on with what became of them, and what changed in them since has a parent.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import type { BuiltObject } from "../build.ts";

/** `successors`: id in our own tree → id in the merged one. Two objects never get one id: the second keeps its own. */
export function underSuccessors(
  objects: ReadonlyMap<Ino, BuiltObject>,
  successors: ReadonlyMap<FileId, FileId>,
): ReadonlyMap<Ino, BuiltObject> {
  if (successors.size === 0) return objects;
  const taken = new Set([...objects.values()].map(({ id }) => id));
  const renewed = new Map<Ino, BuiltObject>();
  for (const [ino, { id, record, names }] of objects) {
    const successor = successors.get(id);
    const isFree = successor !== undefined && !taken.has(successor);
    if (isFree) taken.add(successor);
    const places = names.map(({ parent, name }) => ({ parent: successors.get(parent) ?? parent, name }));
    renewed.set(ino, { id: isFree ? successor : id, record, names: places });
  }
  return renewed;
}
