/**
 * What the merge works on: one object of a tree, by id, with its record and all its names. Rows are made from it, never
 * merged. Names are sorted by the keys of their dentries, without duplicates.
 */
import { isLinked } from "../../format/blocks/linked-value.ts";
import type { Content, FileRecord, Linked } from "../../format/files/record.ts";
import type { TreeObject } from "../fs-reader.ts";
import { placeText, samePlace } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";

export function isDirectory(object: TreeObject): boolean {
  return object.record.type === "directory";
}

export function hasName(object: Pick<TreeObject, "names"> | undefined, place: Place): boolean {
  if (object === undefined) return false;
  const { names } = object;
  if (names.length <= FEW_NAMES) return names.some((name) => samePlace(name, place));
  let texts = nameTexts.get(names);
  if (texts === undefined) nameTexts.set(names, (texts = new Set(names.map(placeText))));
  return texts.has(placeText(place));
}

/** Up to so many names are compared one by one. */
const FEW_NAMES = 8;
/** Of objects with more, by their lists of names, which never change: the phases ask for one name after another. */
const nameTexts = new WeakMap<readonly Place[], ReadonlySet<string>>();

/** Sorted by key, without duplicates. */
export function sortPlaces(places: Iterable<Place>): Place[] {
  const byKey = new Map<string, Place>();
  for (const place of places) byKey.set(placeText(place), place);
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place);
}

export function samePlaces(a: readonly Place[], b: readonly Place[]): boolean {
  return a.length === b.length && a.every((place, index) => placeText(place) === placeText(b[index] ?? place));
}

/** Whether both are one version: equal type and equal bytes, target or device. Content is canonical, so its CIDs decide. */
export function sameVersion(a: FileRecord, b: FileRecord): boolean {
  if (a.type !== b.type || a.size !== b.size || a.rdev !== b.rdev) return false;
  return sameContent(a.content, b.content) && sameTarget(a.target, b.target);
}

export function sameContent(a: Content, b: Content): boolean {
  if (a.kind === "inline" || b.kind === "inline")
    return a.kind === b.kind && "bytes" in a && "bytes" in b && Buffer.from(a.bytes).equals(b.bytes);
  if (a.kind === "empty" || b.kind === "empty") return a.kind === b.kind;
  return a.kind === b.kind && a.cid === b.cid;
}

function sameTarget(a: string | Linked, b: string | Linked): boolean {
  return isLinked(a) || isLinked(b) ? isLinked(a) && isLinked(b) && a.linked === b.linked : a === b;
}
