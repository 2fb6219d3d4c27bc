/**
 * Whether anything unpublished belongs to a unit of the policy (docs/design/merge.md). If so, others' versions of the rest
 * of that unit must not be shown beside it: the unpublished part was written to match what is shown here.
 */
import { type FileName, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import { UnitRules } from "../fstree/merge/units/unit-rules.ts";
import type { Units } from "../format/commits/policy.ts";
import type { DirtyObject } from "./dirty-object.ts";
import type { Link } from "./links.ts";
import type { OverlayState } from "./state.ts";

/** "any": whether anything is unpublished. Inode rows tell where unchanged directories are. */
export function isDirtyIn(state: OverlayState, units: Units | "any"): boolean {
  if (state.publishable === 0 || units === "any") return state.publishable > 0;
  const isPart = partsOfUnits(state, units);
  for (const object of state.objects()) if (isPart(object)) return true;
  return false;
}

type Named = Pick<DirtyObject, "ino" | "type" | "baseNames"> & { readonly links: Iterable<Link> };

/** Returns a test: whether an object, by its current and base names, is part of a unit or contains one. */
export function partsOfUnits(state: OverlayState, units: Units): (object: Named) => boolean {
  const rules = new UnitRules(units);
  const known = new Map<Ino, boolean>([[ROOT_INO, false]]);
  const isInTree = (ino: Ino): boolean => {
    const found = known.get(ino);
    if (found !== undefined) return found;
    // A bucket may have cycles: they belong to no unit.
    known.set(ino, false);
    const at = placeOf(state, ino);
    const isIn = at !== undefined && (rules.isTree(at.name) || (at.parent !== undefined && isInTree(at.parent)));
    known.set(ino, isIn);
    return isIn;
  };
  return ({ ino, type, links, baseNames }) =>
    [...links, ...baseNames].some(({ name }) => rules.mainsOf(name).length > 0) ||
    [...links].some(({ parent }) => isInTree(parent)) ||
    (type === "directory" && isInTree(ino));
}

/** The parent is undefined if it has no inode number: nothing is known above it. */
export function placeOf(
  state: OverlayState,
  ino: Ino,
): { readonly parent: Ino | undefined; readonly name: FileName } | undefined {
  const object = state.object(ino);
  if (object !== undefined) return object.links.first;
  const row = state.inodes.row(ino);
  if (row === undefined || row.parent === ROOT_ID) return row && { parent: ROOT_INO, name: row.name };
  return { parent: state.dirtyWithId(row.parent)?.ino ?? state.inodes.find(row.parent)?.ino, name: row.name };
}
