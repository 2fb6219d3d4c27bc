/** Maps files and units that lost a conflict to their copies, for programs that still have them open. */
import type { FileId, FileName } from "../../base/ids.ts";
import { MAX_NAME_BYTES } from "../../base/limits.ts";
import type { MovedObject, MovedVersions } from "../change-set.ts";
import type { TreeObject } from "../fs-reader.ts";
import { samePlace } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import type { MergeState, Moves, NameMove } from "./merge-state.ts";
import { otherRole } from "./triple.ts";
import type { Role } from "./triple.ts";
import type { UnitCopy } from "./units/unit-copy.ts";

export function noMoves(): Moves {
  return { winner: { objects: [], names: [] }, loser: { objects: [], names: [] } };
}

/** `became`: id of a unit's object or root directory → the copy's object. `names`: the unit's place → its copy's. */
export function noteUnit(
  { moves }: MergeState,
  copy: UnitCopy,
  became: ReadonlyMap<FileId, TreeObject>,
  names: readonly NameMove[],
): void {
  const { objects, names: renamed } = moves[otherRole(copy.keeper)];
  for (const [from, object] of became) {
    const member = copy.members.get(from);
    const isWithin = (name: Place) => member?.places.some((place) => samePlace(place, name)) === true;
    const left = member?.object.names.filter((name) => !isWithin(name)) ?? [];
    objects.push(moved(from, object, left));
  }
  renamed.push(...names);
}

/**
 * A file of the loser continues as its conflict copy, and keeps none of its names. If it is a database without journals, one
 * that is begun meanwhile belongs to the copy.
 */
export function noteCopied(
  { moves: { loser }, unitRules }: MergeState,
  lost: Pick<TreeObject, "id" | "names">,
  copy: TreeObject,
): void {
  const [from] = lost.names;
  const [to] = copy.names;
  loser.objects.push(moved(lost.id, copy, lost.names));
  if (from === undefined || to === undefined) return;
  const isMain = unitRules.mainsOf(from.name).includes(from.name);
  for (const suffix of ["", ...(isMain ? unitRules.suffixesOf(from.name) : [])]) {
    const name = (to.name + suffix) as FileName;
    if (name.length <= MAX_NAME_BYTES)
      loser.names.push({
        from: { parent: from.parent, name: (from.name + suffix) as FileName },
        to: { parent: to.parent, name },
      });
  }
}

/** A file moved out of a unit while the keeper has it within: it continues as a file of its own. */
export function noteLeft({ moves }: MergeState, role: Role, from: FileId, own: TreeObject): void {
  moves[role].objects.push(moved(from, own, []));
}

/** With ids of that side's own tree and of the merged one. An object that lost again and has no copy has no successor. */
export async function movesOf(
  { moves, folded, merged: tree }: MergeState,
  role: Role,
  storedId: (id: FileId) => FileId,
): Promise<MovedVersions> {
  const merged = ({ parent, name }: Place): Place => ({ parent: folded.get(parent) ?? parent, name });
  const objects: MovedObject[] = [];
  for (const { from, names, left, ...object } of moves[role].objects)
    if ((await tree.object(object.id)) !== undefined)
      objects.push({ ...object, from: storedId(from), names: names.map(merged), left: left.map(merged) });
  return { objects, names: moves[role].names.map(({ from, to }) => ({ from: merged(from), to: merged(to) })) };
}

function moved(from: FileId, { id, record, names }: TreeObject, left: readonly Place[]): MovedObject {
  return { from, id, type: record.type, names, left, conflict: record.conflict };
}
