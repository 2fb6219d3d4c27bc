/**
 * Phase 3: two directories at one name. A directory that is new, or that a side deleted, folds into the other. Of two old
 * ones, one takes a conflict name. Clashes are resolved smallest key first until none is left: folding may bring further
 * directories together.
 */
import { SynclineError } from "../../base/errors.ts";
import type { FileId } from "../../base/ids.ts";
import type { TreeObject } from "../fs-reader.ts";
import { placeText, samePlace } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import { directoryNames } from "./conflict-names.ts";
import type { MergeState } from "./merge-state.ts";
import { hasName, isDirectory, sortPlaces } from "./objects.ts";
import { PlaceQueue } from "./place-queue.ts";

/** Names that came into a directory by folding. The directory's own entries take precedence over them. */
export type Guests = Set<string>;

export function guestKey(id: FileId, place: Place): string {
  return id + placeText(place);
}

export async function foldDirectories(state: MergeState): Promise<Guests> {
  const guests: Guests = new Set();
  const queue = new PlaceQueue();
  for (const place of state.merged.newPlaces()) queue.add(place);
  for (let place = queue.take(); place !== undefined; place = queue.take()) {
    const directories = (await state.merged.at(place)).filter(isDirectory);
    if (directories.length < 2) continue;
    const [keeper, ...others] = await ranked(state, place, directories, guests);
    for (const other of others) {
      if (keeper === undefined) break;
      // The contents of a unit belong together: nothing is added to it.
      const isUnit = [keeper, other].some(({ directory }) => state.contestedTrees.has(directory.id));
      if (other.age === "old" || isUnit || state.unitRules.isTree(place.name))
        await displaceDirectory(state, keeper.directory, other.directory, place);
      else await fold(state, keeper.directory, other.directory, guests, queue);
    }
  }
  // A keeper may itself have been folded later.
  for (const [id, into] of [...state.folded].toReversed()) state.folded.set(id, state.folded.get(into) ?? into);
  return guests;
}

/** `old`: in all three trees. `left`: a side deleted it. `new`: not in the base. */
type Age = "old" | "left" | "new";
const AGES: readonly Age[] = ["old", "left", "new"];

interface Ranked {
  readonly directory: TreeObject;
  readonly age: Age;
  readonly rank: string;
}

/** By precedence for the name: a kept unit's, an old directory, the directory's own entry, the winner's here, the smaller id. */
async function ranked(
  state: MergeState,
  place: Place,
  directories: readonly TreeObject[],
  guests: Guests,
): Promise<Ranked[]> {
  const winners = (await state.winner.at(place))?.id;
  const all: Ranked[] = [];
  for (const directory of directories) {
    const age = await ageOf(state, directory.id);
    const guest = guests.has(guestKey(directory.id, place)) ? 1 : 0;
    const unkept = state.kept.has(directory.id) ? 0 : 1;
    const rank = `${unkept}${AGES.indexOf(age)}${guest}${directory.id === winners ? 0 : 1}${directory.id}`;
    all.push({ directory, age, rank });
  }
  return all.sort((a, b) => (a.rank < b.rank ? -1 : 1));
}

async function ageOf(state: MergeState, id: FileId): Promise<Age> {
  if ((await state.base.object(id)) === undefined) return "new";
  const both = (await state.winner.object(id)) !== undefined && (await state.loser.object(id)) !== undefined;
  return both ? "old" : "left";
}

async function fold(
  state: MergeState,
  keeper: TreeObject,
  other: TreeObject,
  guests: Guests,
  queue: PlaceQueue,
): Promise<void> {
  const entries: { id: FileId; place: Place }[] = [];
  for await (const entry of state.merged.children(other.id)) entries.push(entry);
  entries.sort((a, b) => (placeText(a.place) < placeText(b.place) ? -1 : 1));
  for (const { id, place } of entries) {
    await checkChanged(state, id, place);
    const object = (await state.merged.at(place)).find((found) => found.id === id);
    if (object === undefined) continue;
    const into: Place = { parent: keeper.id, name: place.name };
    if (!hasName(object, into)) guests.add(guestKey(id, into));
    const names = object.names.map((name) => (samePlace(name, place) ? into : name));
    await state.merged.put(id, { ...object, names: sortPlaces(names) });
    queue.add(into);
  }
  await state.merged.put(other.id, undefined);
  state.folded.set(other.id, keeper.id);
}

/** Gives a directory a conflict name beside the directory that keeps the name. */
export async function displaceDirectory(
  state: MergeState,
  keeper: TreeObject,
  other: TreeObject,
  place: Place,
): Promise<void> {
  for (const name of directoryNames(place.name, other.id)) {
    const free: Place = { parent: place.parent, name };
    if ((await state.merged.at(free)).length > 0) continue;
    await state.merged.put(other.id, { ...other, names: [free] });
    state.findings.push({
      kind: "displaced",
      rule: isDirectory(keeper) ? "two directories at one name" : "file / directory at one name",
      kept: keeper.id,
      other: other.id,
      places: { kept: place, other: free },
    });
    return;
  }
}

/** Folding never touches an entry that neither side changed (docs/design/merge.md, Phases): that bounds its work. */
async function checkChanged(state: MergeState, id: FileId, place: Place): Promise<void> {
  const trees = [state.base, state.winner, state.loser];
  for (const tree of trees) if ((await tree.at(place))?.id !== id) return;
  throw new SynclineError("internal", "Folding a directory would move an entry that neither side changed.");
}
