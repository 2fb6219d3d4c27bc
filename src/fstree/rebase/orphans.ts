/**
 * Objects whose directories no root has any more, as in an epoch whose base is gone (an agent offline beyond retention).
 * They become new objects in the root directory, under a conflict name if theirs is taken. No written data is lost.
 * A file with another name, in a directory that is still there, only loses the names that went with their directories.
 */
import { type Cid, type FileId, type FileName, type Ino, ROOT_ID, ROOT_INO } from "../../base/ids.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { readSelf } from "../fs-reader.ts";
import { type Place, placeText } from "../object-rows.ts";
import { epochPlaces } from "./epoch-places.ts";
import { FreePlaces } from "./free-places.ts";
import { survives } from "./identities.ts";
import type { ObjectState } from "./transition.ts";

/** The same epoch for `tree` with the directories `found` put back, which may lack some parents of the epoch's objects. */
export async function rehomeOrphans(
  nodes: NodeStore,
  tree: Cid,
  changes: ChangeSet,
  found: readonly ObjectState[],
): Promise<ChangeSet> {
  const present = await presentDirectories(nodes, tree, changes, found);
  const isThere = ({ parent }: Place) => present.has(parent);
  const isOrphan = ({ baseNames }: ChangedObject) => baseNames.length > 0 && !baseNames.some(isThere);
  const own = new Set(changes.objects.filter(survives).map(({ ino }) => ino));
  const hasHome = (parent: Ino) => {
    const id = changes.directories.get(parent);
    return own.has(parent) || (id !== undefined && present.has(id));
  };
  const places = new FreePlaces(nodes, tree, epochPlaces(changes, found));
  const objects: ChangedObject[] = [];
  for (const object of changes.objects) {
    if (isOrphan(object) && !survives(object)) continue;
    const born = isOrphan(object) ? { ...object, id: undefined, base: undefined, baseNames: [] } : object;
    const lost = new Set(born.baseNames.filter((place) => !isThere(place)).map(placeText));
    const left = object.names.filter(({ parent, name }) => {
      const id = own.has(parent) ? undefined : changes.directories.get(parent);
      return id === undefined || !lost.has(placeText({ parent: id, name }));
    });
    const names = [];
    for (const { parent, name } of left.length === 0 ? object.names : left) {
      if (hasHome(parent)) names.push({ parent, name });
      else
        names.push({
          parent: ROOT_INO,
          name: await freeName(name, changes.directories.get(parent) ?? ROOT_ID, object),
        });
    }
    objects.push({ ...born, baseNames: born.baseNames.filter(isThere), names });
  }
  return { ...changes, objects, directories: new Map([...changes.directories, [ROOT_INO, ROOT_ID]]) };

  async function freeName(name: FileName, lost: FileId, { record }: ChangedObject): Promise<FileName> {
    return (await places.free({ parent: ROOT_ID, name }, lost, record?.type)).name;
  }
}

/** Ids of directories that the tree has, or will have once `found` and the epoch's kept rows are in it. */
async function presentDirectories(
  nodes: NodeStore,
  tree: Cid,
  changes: ChangeSet,
  found: readonly ObjectState[],
): Promise<ReadonlySet<FileId>> {
  const present = new Set<FileId>([ROOT_ID, ...found.map(({ id }) => id)]);
  const asked = new Set<FileId>(changes.directories.values());
  for (const { baseNames } of changes.objects) for (const { parent } of baseNames) asked.add(parent);
  for (const id of asked) if ((await readSelf(nodes, tree, id))?.kind === "directory") present.add(id);
  const kept = changes.objects.filter(({ id, base }) => id !== undefined && base?.type === "directory");
  for (let grown = true; grown;) {
    grown = false;
    for (const { id, baseNames } of kept) {
      if (id === undefined || present.has(id) || !baseNames.every(({ parent }) => present.has(parent))) continue;
      present.add(id);
      grown = true;
    }
  }
  return present;
}
