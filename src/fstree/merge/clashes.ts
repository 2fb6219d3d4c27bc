/**
 * Phase 4: other clashes of names, smallest key first. What is in a unit that both sides changed keeps its name, else a
 * directory does; of files, equal bytes become one file
 * with the names of both, else one keeps the name and the others take conflict names and keep their ids.
 */
import type { TreeObject } from "../fs-reader.ts";
import { samePlace } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import { fileNames } from "./conflict-names.ts";
import { versionHash } from "./contents/content.ts";
import { displaceDirectory, guestKey } from "./fold.ts";
import type { Guests } from "./fold.ts";
import type { MergeState } from "./merge-state.ts";
import { isDirectory, sameVersion, sortPlaces } from "./objects.ts";

export async function resolveClashes(state: MergeState, guests: Guests): Promise<void> {
  for (const place of state.merged.newPlaces()) {
    const [keeper, ...others] = await ranked(state, place, guests);
    for (const other of others) {
      if (keeper === undefined) break;
      if (isDirectory(other)) await displaceDirectory(state, keeper, other, place);
      else if (sameVersion(keeper.record, other.record)) await absorb(state, keeper, other);
      else await displace(state, keeper, other, place);
    }
  }
}

/** The one that keeps the name first: what a unit keeps, a directory, the directory's own entry, the winner's at this key, the smaller id. */
async function ranked(state: MergeState, place: Place, guests: Guests): Promise<TreeObject[]> {
  const objects = await state.merged.at(place);
  if (objects.length < 2) return [];
  const winners = (await state.winner.at(place))?.id;
  const rank = (object: TreeObject) =>
    [!state.kept.has(object.id), !isDirectory(object), guests.has(guestKey(object.id, place)), object.id !== winners]
      .map(Number)
      .join("") + object.id;
  return objects.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Two files of equal bytes become one: the keeper, with the names of both. */
async function absorb(state: MergeState, { id: keeper }: TreeObject, { id: other }: TreeObject): Promise<void> {
  const [kept, gone] = [await state.merged.object(keeper), await state.merged.object(other)];
  if (kept === undefined || gone === undefined) return;
  await state.merged.put(other, undefined);
  await state.merged.put(keeper, { ...kept, names: sortPlaces([...kept.names, ...gone.names]) });
  state.absorbed.set(other, keeper);
}

async function displace(state: MergeState, keeper: TreeObject, other: TreeObject, place: Place): Promise<void> {
  const hash = await versionHash(state.context, other.record);
  for (const name of fileNames(place.name, hash)) {
    const target: Place = { parent: place.parent, name };
    const taken = await state.merged.at(target);
    const twin = taken.find(({ id, record }) => id !== other.id && sameVersion(record, other.record));
    if (taken.length > 0 && twin === undefined && !taken.some(({ id }) => id === other.id)) continue;
    const names = other.names.map((old) => (samePlace(old, place) ? target : old));
    await state.merged.put(other.id, { ...other, names: sortPlaces(names) });
    if (twin !== undefined) await absorb(state, twin, other);
    else if (taken.length === 0)
      state.findings.push({
        kind: "displaced",
        rule: isDirectory(keeper) ? "file / directory at one name" : "two files at one name",
        kept: keeper.id,
        other: other.id,
        places: { kept: place, other: target },
      });
    return;
  }
}
