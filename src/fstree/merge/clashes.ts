/**
 * Phase 4: other clashes of names, smallest key first. Members of a unit that both sides changed keep their names;
 * otherwise a directory does. Files of equal bytes become one file with the names of both. Of other files, one keeps the
 * name; the others keep their ids and take conflict names.
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
    for (const { id } of others) {
      // An earlier one may have given its names to this one.
      const other = await state.merged.object(id);
      if (keeper === undefined || other === undefined) continue;
      if (isDirectory(other)) await displaceDirectory(state, keeper, other, place);
      else if (sameVersion(keeper.record, other.record)) await absorb(state, keeper, other);
      else await displace(state, keeper, other, place);
    }
  }
}

/** By precedence: a kept unit's members, directories, the directory's own entry, the winner's here, the smaller id. */
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
