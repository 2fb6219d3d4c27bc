/** Current and former places of an epoch's objects: nothing else may be put there while the epoch is built. */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { type Place, placeText } from "../object-rows.ts";
import { survives } from "./identities.ts";
import type { ObjectState } from "./transition.ts";

/** As texts: places of the epoch's objects in directories that have an id, and of what its base holds besides. */
export function epochPlaces(changes: ChangeSet, states: readonly ObjectState[]): Set<string> {
  const ids = directoryIds(changes);
  const places = new Set(states.flatMap(({ names }) => names.map(placeText)));
  for (const object of changes.objects) {
    for (const place of object.baseNames) places.add(placeText(place));
    for (const place of currentPlaces(object, ids)) places.add(placeText(place));
  }
  return places;
}

export function directoryIds(changes: ChangeSet): ReadonlyMap<Ino, FileId> {
  const ids = new Map(changes.directories);
  for (const { ino, id } of changes.objects) if (id !== undefined) ids.set(ino, id);
  return ids;
}

/** Only in directories that have an id: others cannot know the rest. */
export function currentPlaces(object: ChangedObject, ids: ReadonlyMap<Ino, FileId>): Place[] {
  if (!survives(object)) return [];
  return object.names.flatMap(({ parent, name }) => {
    const id = ids.get(parent);
    return id === undefined ? [] : [{ parent: id, name }];
  });
}
