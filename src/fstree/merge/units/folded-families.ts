/**
 * Between phases 3 and 4: a directory folded into another one, and both have files of one family. The families stay apart:
 * one leaves for a conflict name as a whole. Otherwise a database would get the other one's log.
 */
import type { FileId, FileName } from "../../../base/ids.ts";
import { MAX_NAME_BYTES } from "../../../base/limits.ts";
import type { TreeObject } from "../../fs-reader.ts";
import { placeText, samePlace } from "../../object-rows.ts";
import type { Place } from "../../object-rows.ts";
import { fileNames } from "../conflict-names.ts";
import { versionHash } from "../contents/content.ts";
import { guestKey } from "../fold.ts";
import type { Guests } from "../fold.ts";
import type { MergeState } from "../merge-state.ts";
import { isDirectory, sameVersion, sortPlaces } from "../objects.ts";

/** Files of one family, by suffix. */
type Family = ReadonlyMap<string, TreeObject>;

export async function separateFamilies(state: MergeState, guests: Guests): Promise<void> {
  if (guests.size === 0) return;
  const seen = new Set<string>();
  for (const { parent, name } of placesOf(state, guests)) {
    for (const main of state.unitRules.mainsOf(name)) {
      if (seen.has(parent + main)) continue;
      seen.add(parent + main);
      await separate(state, guests, parent, main);
    }
  }
}

/** Where guests are now, sorted: the same whichever side is replayed. */
function placesOf({ merged }: MergeState, guests: Guests): Place[] {
  const places = new Map<string, Place>();
  for (const [id, { now }] of merged.layered())
    for (const place of now?.names ?? []) if (guests.has(guestKey(id, place))) places.set(placeText(place), place);
  return [...places].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place);
}

async function separate(state: MergeState, guests: Guests, parent: FileId, main: FileName): Promise<void> {
  const suffixes = ["", ...state.unitRules.suffixesOf(main)];
  const all = { own: new Map<string, TreeObject>(), folded: new Map<string, TreeObject>() };
  for (const suffix of suffixes) {
    const place = placeOf(parent, main, suffix);
    for (const object of await state.merged.at(place)) {
      if (isDirectory(object)) continue;
      const family = guests.has(guestKey(object.id, place)) ? all.folded : all.own;
      if (!family.has(suffix)) family.set(suffix, object);
    }
  }
  const { own, folded } = all;
  if (own.size === 0 || folded.size === 0 || isSame(own, folded)) return;
  // Two single files clash as any others do.
  if ([...own.keys(), ...folded.keys()].every((suffix) => suffix === "")) return;
  const ownLeaves = hasKept(state, folded) && !hasKept(state, own);
  await rename(state, ownLeaves ? own : folded, ownLeaves ? folded : own, { parent, name: main }, suffixes);
}

async function rename(
  state: MergeState,
  leaving: Family,
  staying: Family,
  { parent, name: main }: Place,
  suffixes: readonly string[],
): Promise<void> {
  const [[firstSuffix, first] = []] = leaving;
  const [kept] = staying.values();
  if (first === undefined || firstSuffix === undefined || kept === undefined) return;
  const hash = await versionHash(state.context, first.record);
  const room = MAX_NAME_BYTES - Math.max(...suffixes.map(({ length }) => length));
  for (const stem of fileNames(main, hash, room)) {
    const taken = new Map<string, TreeObject>();
    for (const suffix of suffixes) {
      const [object] = await state.merged.at(placeOf(parent, stem, suffix));
      if (object !== undefined) taken.set(suffix, object);
    }
    // Phase 4 makes one file of two with equal bytes.
    if (taken.size > 0 && !isSame(taken, leaving)) continue;
    for (const [suffix, { id }] of leaving) {
      const object = await state.merged.object(id);
      if (object === undefined) continue;
      const [from, to] = [placeOf(parent, main, suffix), placeOf(parent, stem, suffix)];
      const names = object.names.map((old) => (samePlace(old, from) ? to : old));
      await state.merged.put(id, { ...object, names: sortPlaces(names) });
    }
    if (taken.size > 0) return;
    const places = { kept: { parent, name: main }, other: placeOf(parent, stem, firstSuffix) };
    state.findings.push({ kind: "displaced", rule: "two files at one name", kept: kept.id, other: first.id, places });
    return;
  }
}

function placeOf(parent: FileId, main: string, suffix: string): Place {
  return { parent, name: (main + suffix) as FileName };
}

function isSame(one: Family, other: Family): boolean {
  if (one.size !== other.size) return false;
  return [...one].every(([suffix, { record }]) => {
    const found = other.get(suffix);
    return found !== undefined && sameVersion(found.record, record);
  });
}

function hasKept(state: MergeState, family: Family): boolean {
  return [...family.values()].some(({ id }) => state.kept.has(id));
}
