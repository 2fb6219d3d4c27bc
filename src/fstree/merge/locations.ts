/**
 * Phase 1, the places of an object. A directory or single-link file goes where the side that moved it put it; if both did,
 * where the winner put it. A file with hard links keeps the names that neither side removed, and gets the new ones of both.
 */
import type { TreeObject } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import { hasName, isDirectory, samePlaces, sortPlaces } from "./objects.ts";

/** The merged names of an object that both sides have. */
export function mergeLocations(base: TreeObject | undefined, winner: TreeObject, loser: TreeObject): readonly Place[] {
  if (isDirectory(winner) || [base ?? winner, winner, loser].every(({ names }) => names.length === 1)) {
    return base !== undefined && samePlaces(base.names, winner.names) ? loser.names : winner.names;
  }
  const merged = mergeNameSets(base?.names ?? [], winner.names, loser.names);
  return merged.length > 0 ? merged : winner.names;
}

/** The names that an object keeps when one side deleted it and the other changed it. */
export function survivingNames(base: TreeObject, survivor: TreeObject): readonly Place[] {
  const added = mergeNameSets(base.names, [], survivor.names);
  return added.length > 0 ? added : survivor.names;
}

/** Whether the object has a new name: by a rename or a new link. */
export function gainedName(base: TreeObject, object: TreeObject): boolean {
  return object.names.some((name) => !hasName(base, name));
}

/** A three-way set: names that neither side removed, and the new ones of both. */
export function mergeNameSets(base: readonly Place[], winner: readonly Place[], loser: readonly Place[]): Place[] {
  const [bases, winners, losers] = [base, winner, loser].map((places) => new Set(places.map(placeText)));
  return sortPlaces([...winner, ...loser]).filter((place) => {
    const key = placeText(place);
    return bases?.has(key) ? winners?.has(key) && losers?.has(key) : true;
  });
}
