/**
 * Objects of one epoch that claim one place. Each has or had it on a different root: others put the second there after the
 * first became dirty. One keeps the place; for the epoch, the others were beside it all along, under a conflict name.
 * Directories that would contain one another are separated too: one goes to the root directory.
 */
import { type Cid, type FileId, type Ino, ROOT_ID, ROOT_INO } from "../../base/ids.ts";
import { groupBy } from "../../base/collections.ts";
import { ID_BYTES } from "../../format/files/keys.ts";
import { dentryId } from "../../format/files/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { readDentry } from "../fs-reader.ts";
import { type Place, placeText, samePlace } from "../object-rows.ts";
import { currentPlaces, directoryIds } from "./epoch-places.ts";
import { FreePlaces } from "./free-places.ts";
import { epochCycles } from "./epoch-cycles.ts";

/** An object that lost the conflict. */
export interface NameCollision {
  readonly ino: Ino;
  /** Undefined when it was born in the epoch. */
  readonly id: FileId | undefined;
  readonly from: Place;
  readonly to: Place;
}

/** The epoch with one object at each place; usually unchanged. `tree` says which object a place belongs to. */
export async function resolveNameCollisions(
  nodes: NodeStore,
  tree: Cid,
  changes: ChangeSet,
): Promise<{ readonly changes: ChangeSet; readonly parted: readonly NameCollision[] }> {
  const ids = directoryIds(changes);
  const claims = claimsOf(changes, ids);
  const cycles = epochCycles(changes, ids);
  const places = new FreePlaces(nodes, tree, claims.taken);
  const parted: NameCollision[] = [];
  const give = async ({ ino, id, record }: ChangedObject, from: Place, near: Place) => {
    parted.push({ ino, id, from, to: await places.beside(near, id ?? markOf(ino), record?.type) });
  };
  for (const { object, place } of cycles) await give(object, place, { parent: ROOT_ID, name: place.name });
  for (const { place, claimants } of claims.contested.values()) {
    const keeper = await keeperOf(nodes, tree, place, claimants);
    for (const object of claimants) if (object !== keeper) await give(object, place, place);
  }
  if (parted.length === 0) return { changes, parted };
  const moves = groupBy(parted, ({ ino }) => ino);
  const objects = changes.objects.map((object) => moved(object, moves.get(object.ino) ?? [], ids));
  return { changes: { ...changes, objects }, parted };
}

interface Contest {
  readonly place: Place;
  readonly claimants: readonly ChangedObject[];
}

interface Claims {
  readonly taken: Set<string>;
  /** By place, in the order of the objects. */
  readonly contested: ReadonlyMap<string, Contest>;
}

/** Names in directories that have an id: others cannot know the rest. */
function claimsOf(changes: ChangeSet, ids: ReadonlyMap<Ino, FileId>): Claims {
  const taken = new Set<string>();
  const contested = new Map<string, Contest>();
  for (const placesOf of [
    (object: ChangedObject) => object.baseNames,
    (object: ChangedObject) => currentPlaces(object, ids),
  ]) {
    const first = new Map<string, ChangedObject>();
    for (const object of changes.objects) {
      for (const place of placesOf(object)) {
        const key = placeText(place);
        const other = first.get(key);
        taken.add(key);
        first.set(key, object);
        if (other === undefined || other === object) continue;
        const { claimants } = contested.get(key) ?? { claimants: [] };
        contested.set(key, { place, claimants: [...new Set([...claimants, other, object])] });
      }
    }
  }
  return { taken, contested };
}

/** The object that the epoch put there itself, else the tree's. */
async function keeperOf(
  nodes: NodeStore,
  tree: Cid,
  place: Place,
  claimants: readonly ChangedObject[],
): Promise<ChangedObject | undefined> {
  const own = claimants.find(
    ({ id, baseNames }) => id === undefined || !baseNames.some((name) => samePlace(name, place)),
  );
  if (own !== undefined) return own;
  const dentry = await readDentry(nodes, tree, place);
  const there = dentry === undefined ? undefined : dentryId(place.parent, place.name, dentry);
  return claimants.find(({ id }) => id === there) ?? claimants[0];
}

/** Stands in for an id in the conflict name of an object without one. */
function markOf(ino: Ino): FileId {
  return ino.toString(16).padStart(2 * ID_BYTES, "0") as FileId;
}

function moved(object: ChangedObject, moves: readonly NameCollision[], ids: ReadonlyMap<Ino, FileId>): ChangedObject {
  if (moves.length === 0) return object;
  const moveOf = (place: Place) => moves.find(({ from }) => samePlace(from, place))?.to;
  const baseNames = object.baseNames.map((place) => moveOf(place) ?? place);
  const names = object.names.map(({ parent, name }) => {
    const id = ids.get(parent);
    const to = id === undefined ? undefined : moveOf({ parent: id, name });
    if (to === undefined) return { parent, name };
    return { parent: to.parent === id ? parent : ROOT_INO, name: to.name };
  });
  return { ...object, baseNames, names };
}
