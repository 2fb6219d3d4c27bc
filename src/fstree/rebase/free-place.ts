/** Places for objects displaced while an epoch is built: under the conflict names of an old directory. */
import type { Cid, FileId } from "../../base/ids.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { readDentry } from "../fs-reader.ts";
import { directoryNames } from "../merge/conflict-names.ts";
import { type Place, placeText } from "../object-rows.ts";

/** The place itself if it is not taken, else one beside it. Marks the result as taken. */
export async function placeOrBeside(
  nodes: NodeStore,
  tree: Cid,
  place: Place,
  id: FileId,
  taken: Set<string>,
): Promise<Place> {
  if (taken.has(placeText(place))) return placeBeside(nodes, tree, place, id, taken);
  taken.add(placeText(place));
  return place;
}

/** The place itself if it is not taken and empty in the tree, else one beside it. Marks the result as taken. */
export async function freePlace(
  nodes: NodeStore,
  tree: Cid,
  place: Place,
  id: FileId,
  taken: Set<string>,
): Promise<Place> {
  if (taken.has(placeText(place)) || (await readDentry(nodes, tree, place)) !== undefined)
    return placeBeside(nodes, tree, place, id, taken);
  taken.add(placeText(place));
  return place;
}

/** The first place beside this one that is not taken, and empty in the tree, so that nothing is lost. Marks it as taken. */
export async function placeBeside(
  nodes: NodeStore,
  tree: Cid,
  place: Place,
  id: FileId,
  taken: Set<string>,
): Promise<Place> {
  for (const name of directoryNames(place.name, id)) {
    const free = { parent: place.parent, name };
    if (taken.has(placeText(free)) || (await readDentry(nodes, tree, free)) !== undefined) continue;
    taken.add(placeText(free));
    return free;
  }
  return place;
}
