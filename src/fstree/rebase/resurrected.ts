/**
 * Directories that an epoch deletes but that stay where others have them now, as if the epoch had not touched them. Those
 * above them then hold a stranger, and stay too (kept-non-empty.ts).
 */
import type { Cid, FileId, Ino } from "../../base/ids.ts";
import { dentryId } from "../../format/files/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { listDirectory } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import { directoryIds } from "./epoch-places.ts";
import { parentsFirst, survives, takesOver } from "./identities.ts";
import { TreeDirectories } from "./tree-directories.ts";

export interface Resurrected {
  /** The same epoch without these deletions. */
  readonly changes: ChangeSet;
  readonly resurrected: ReadonlyMap<Ino, FileId>;
}

export async function resurrectDirectories(nodes: NodeStore, tree: Cid, sealed: ChangeSet): Promise<Resurrected> {
  const named = namedIn(sealed);
  const changes = without(sealed, named);
  const moved = await movedAway(nodes, tree, changes);
  return { changes: without(changes, moved), resurrected: new Map([...named, ...moved]) };
}

/** Directories in which an object of the epoch has a name that others gave it after the directory was removed here. */
function namedIn({ objects }: ChangeSet): Map<Ino, FileId> {
  const deleted = new Map(objects.filter((object) => !survives(object)).map((object) => [object.ino, object]));
  const named = new Map<Ino, FileId>();
  for (const { names } of deleted.size === 0 ? [] : objects) {
    for (const { parent } of names) {
      const { id, base } = deleted.get(parent) ?? {};
      if (id !== undefined && base?.type === "directory") named.set(parent, id);
    }
  }
  return named;
}

/**
 * Directories that others moved into another directory and put something into. Restoring one at its old place would also
 * restore its old parent, which neither side wants any more.
 */
async function movedAway(nodes: NodeStore, tree: Cid, changes: ChangeSet): Promise<Map<Ino, FileId>> {
  const deleted = deletedDirectories(changes);
  const there = new TreeDirectories(nodes, tree);
  await there.load(deleted.keys());
  const moved = new Map<FileId, ChangedObject>();
  for (const [id, object] of deleted) {
    const parent = await there.parentOf(id);
    if (parent !== undefined && parent !== object.baseNames[0]?.parent) moved.set(id, object);
  }
  const resurrected = new Map<Ino, FileId>();
  if (moved.size === 0) return resurrected;
  for (const id of inherited(changes, deleted)) deleted.delete(id);
  const own = new Set(changes.objects.map(({ id }) => id));
  const known = new Map<FileId, boolean>();
  for (const [id, { ino }] of moved) if (deleted.has(id) && (await isNeeded(id))) resurrected.set(ino, id);
  return resurrected;

  /** Whether it contains something that the epoch never saw there, at any depth of what the epoch deletes. */
  async function isNeeded(directory: FileId): Promise<boolean> {
    const answer = known.get(directory);
    if (answer !== undefined) return answer;
    // In a damaged bucket, directories may contain one another.
    known.set(directory, false);
    for await (const { name, dentry } of listDirectory(nodes, tree, directory)) {
      const id = dentryId(directory, name, dentry);
      const isStranger = !own.has(id);
      if (!isStranger && !(deleted.has(id) && (await isNeeded(id)))) continue;
      known.set(directory, true);
      return true;
    }
    return false;
  }
}

function deletedDirectories({ objects }: ChangeSet): Map<FileId, ChangedObject> {
  const deleted = new Map<FileId, ChangedObject>();
  for (const object of objects)
    if (object.id !== undefined && object.base?.type === "directory" && !survives(object))
      deleted.set(object.id, object);
  return deleted;
}

/** Directories whose ids go to directories that the epoch made in their places (identities.ts). */
function inherited(changes: ChangeSet, deleted: ReadonlyMap<FileId, ChangedObject>): Set<FileId> {
  const left = new Map<string, FileId>();
  for (const [id, { baseNames: names, base }] of deleted) {
    const [place] = names;
    if (place !== undefined && base !== undefined && takesOver("directory", { type: base.type, names }))
      left.set(placeText(place), id);
  }
  const ids = new Map(directoryIds(changes));
  const taken = new Set<FileId>();
  for (const { id, ino, record, names } of parentsFirst(changes)) {
    const [place] = names;
    if (id !== undefined || record?.type !== "directory" || place === undefined || names.length > 1) continue;
    const parent = ids.get(place.parent);
    if (parent === undefined) continue;
    const gone = left.get(placeText({ parent, name: place.name }));
    if (gone === undefined) continue;
    ids.set(ino, gone);
    taken.add(gone);
  }
  return taken;
}

function without(changes: ChangeSet, resurrected: ReadonlyMap<Ino, FileId>): ChangeSet {
  if (resurrected.size === 0) return changes;
  const objects = changes.objects.filter(({ ino }) => !resurrected.has(ino));
  return { ...changes, objects, directories: new Map([...changes.directories, ...resurrected]) };
}
