/**
 * The objects of an epoch under the merged tree's ids: one that was born twice was split, a directory may have folded into
 * another. Open handles continue with the successor, and later changes in it have a parent.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import type { RebasedObject } from "../../fstree/rebase/rebase.ts";
import type { MovedVersions } from "../../fstree/change-set.ts";

/**
 * `successors`: id in our own tree → id in the merged one. Two objects never get one id: the second keeps its own. Except
 * that a directory that folded into another one of the epoch takes that one's id.
 */
export function underSuccessors(
  objects: ReadonlyMap<Ino, RebasedObject>,
  successors: ReadonlyMap<FileId, FileId>,
): ReadonlyMap<Ino, RebasedObject> {
  if (successors.size === 0) return objects;
  const own = new Set([...objects.values()].map(({ id }) => id));
  const given = new Set<FileId>();
  const renewed = new Map<Ino, RebasedObject>();
  for (const [ino, { id, record, names }] of objects) {
    const successor = successors.get(id);
    const isFree =
      successor !== undefined && !given.has(successor) && (record.type === "directory" || !own.has(successor));
    if (isFree) given.add(successor);
    const places = names.map(({ parent, name }) => ({ parent: successors.get(parent) ?? parent, name }));
    renewed.set(ino, { id: isFree ? successor : id, record, names: places });
  }
  return renewed;
}

/** `objects` under the successors of `built`: members of units that lost the conflict appear as in the copies. */
export function insideCopies(
  objects: ReadonlyMap<Ino, RebasedObject>,
  built: ReadonlyMap<Ino, RebasedObject>,
  moved: MovedVersions,
): ReadonlyMap<Ino, RebasedObject> {
  if (moved.objects.length === 0) return objects;
  const copies = new Map(moved.objects.map((object) => [object.from, object]));
  const renewed = new Map(objects);
  for (const [ino, { id, record }] of built) {
    const copy = copies.get(id);
    if (copy !== undefined)
      renewed.set(ino, { id: copy.id, record: { ...record, conflict: copy.conflict }, names: copy.names });
  }
  return renewed;
}
