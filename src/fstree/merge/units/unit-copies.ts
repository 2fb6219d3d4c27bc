/**
 * The end of phase 5: each unit that lost the conflict is put as a whole beside the one that was kept. Its name is made
 * from its contents, so every writer makes the same copy, and repeating the merge makes no second one.
 */
import { SynclineError } from "../../../base/errors.ts";
import type { FileId, FileName } from "../../../base/ids.ts";
import { MAX_NAME_BYTES } from "../../../base/limits.ts";
import { copyId } from "../../../format/files/keys.ts";
import type { TreeObject } from "../../fs-reader.ts";
import { placeText } from "../../object-rows.ts";
import type { Place } from "../../object-rows.ts";
import { fileNames, treeNames } from "../conflict-names.ts";
import type { MergeState } from "../merge-state.ts";
import { isDirectory, sortPlaces } from "../objects.ts";
import type { Child } from "../snapshot.ts";
import { isAlive } from "../splits.ts";
import { membersOf, unitHash } from "./unit-members.ts";
import type { UnitMembers, Unit, UnitSource } from "./unit-members.ts";
import { noteUnit } from "../moves.ts";
import type { UnitCopy } from "./unit-copy.ts";

export async function placeUnitCopies(state: MergeState): Promise<void> {
  const placed: { copy: UnitCopy; kept: FileId; beside: Place }[] = [];
  for (const copy of state.unitCopies) {
    const kept = await keptOf(state, copy.unit);
    const [beside] = kept?.names ?? [];
    if (kept === undefined || beside === undefined)
      throw new SynclineError("internal", "A unit's copy has no place: the version that was kept is gone.");
    placed.push({ copy, kept: kept.id, beside });
  }
  placed.sort((a, b) => (placeText(a.beside) < placeText(b.beside) ? -1 : 1));
  for (const { copy, kept, beside } of placed) {
    const other =
      copy.unit.kind === "tree"
        ? await placeTree(state, copy, kept, beside)
        : await placeFamily(state, copy, copy.unit.main, beside);
    if (other === undefined) continue;
    state.findings.push({
      kind: "copy",
      rule: "units",
      kept,
      other: other.id,
      places: { kept: beside, other: other.place },
      origin: originOf(copy),
    });
  }
}

interface PlacedCopy {
  readonly id: FileId;
  readonly place: Place;
}

/** The kept unit: its directory, or one of its files. */
async function keptOf(state: MergeState, unit: Unit): Promise<TreeObject | undefined> {
  if (unit.kind === "tree") return state.merged.object(state.folded.get(unit.root) ?? unit.root);
  for (const suffix of ["", ...state.unitRules.suffixesOf(unit.main)]) {
    const [found] = await state.merged.at({ parent: unit.parent, name: (unit.main + suffix) as FileName });
    if (found !== undefined) return { ...found, names: [{ parent: unit.parent, name: unit.main }] };
  }
  return undefined;
}

/** Undefined: a directory with all of this exists already. */
async function placeTree(
  state: MergeState,
  copy: UnitCopy,
  of: FileId,
  beside: Place,
): Promise<PlacedCopy | undefined> {
  const root = await rootOf(state, copy);
  if (root === undefined) return undefined;
  const [from = beside] = root.names;
  for (const name of treeNames(beside.name, copy.hash)) {
    const place: Place = { parent: beside.parent, name };
    const [taken] = await state.merged.at(place);
    const same = taken && isDirectory(taken) && (await sameUnit(state, { kind: "tree", root: taken.id }, copy));
    if (same) {
      noteUnit(state, copy, new Map([[root.id, taken], ...counterparts(copy, same)]), [{ from, to: place }]);
      return undefined;
    }
    if (taken !== undefined) continue;
    const conflict = { of, ...originOf(copy) };
    const fresh = new Map<FileId, FileId>();
    fresh.set(root.id, await freshId(state, place, root.id, copy.hash));
    const own = layer(state, fresh.get(root.id) ?? root.id, { ...root, record: { ...root.record, conflict } }, [place]);
    const became = new Map([[root.id, own]]);
    // Directories first, parents before children: ids are made from the parent's id.
    const members = [...copy.members];
    const directories = members.filter(([, { object }]) => isDirectory(object));
    const files = members.filter(([, { object }]) => !isDirectory(object));
    for (const [id, { object, places }] of [...directories, ...files]) {
      const names = places.map(({ parent, name: old }): Place => ({ parent: fresh.get(parent) ?? parent, name: old }));
      const [first = place] = names;
      fresh.set(id, await freshId(state, first, id, copy.hash));
      became.set(id, layer(state, fresh.get(id) ?? id, object, names));
    }
    noteUnit(state, copy, became, [{ from, to: place }]);
    return { id: fresh.get(root.id) ?? root.id, place };
  }
  return undefined;
}

/** Undefined: files with these names and bytes exist already. */
async function placeFamily(
  state: MergeState,
  copy: UnitCopy,
  main: FileName,
  { parent }: Place,
): Promise<PlacedCopy | undefined> {
  const suffixes = ["", ...state.unitRules.suffixesOf(main)];
  const room = MAX_NAME_BYTES - Math.max(...suffixes.map(({ length }) => length));
  for (const stem of fileNames(main, copy.hash, room)) {
    const placeOf = (of: string, suffix: string): Place => ({ parent, name: (of + suffix) as FileName });
    const renamed = suffixes.map((suffix) => ({ from: placeOf(main, suffix), to: placeOf(stem, suffix) }));
    const same = await sameUnit(state, { kind: "family", parent, main: stem }, copy);
    if (same) {
      noteUnit(state, copy, counterparts(copy, same), renamed);
      return undefined;
    }
    let free = true;
    for (const { to } of renamed) free &&= (await state.merged.at(to)).length === 0;
    if (!free) continue;
    let first: PlacedCopy | undefined;
    const became = new Map<FileId, TreeObject>();
    for (const [of, { object, paths }] of copy.members) {
      const names = paths.map((suffix) => placeOf(stem, suffix));
      const [place] = names;
      if (place === undefined) continue;
      const id = await freshId(state, place, of, copy.hash);
      const record = { ...object.record, conflict: { of, ...originOf(copy) } };
      became.set(of, layer(state, id, { ...object, record }, names));
      first ??= { id, place };
    }
    noteUnit(state, copy, became, renamed);
    return first;
  }
  return undefined;
}

/** Its directory as it was on the side that lost the conflict. */
async function rootOf({ winner, loser }: MergeState, copy: UnitCopy): Promise<TreeObject | undefined> {
  const root = copy.unit.kind === "tree" ? copy.unit.root : copy.unit.parent;
  return (copy.keeper === "winner" ? loser : winner).object(root);
}

/** The members of this unit, if they are what the copy would have. */
async function sameUnit(state: MergeState, unit: Unit, copy: UnitCopy): Promise<UnitMembers | undefined> {
  const source: UnitSource = {
    at: async (place) => (await state.merged.at(place))[0],
    // Looking up a name adds it to the layer, and a listing under way would show it again.
    children: async function* (directory) {
      const children: Child[] = [];
      for await (const child of state.merged.children(directory)) children.push(child);
      yield* children;
    },
  };
  const found = await membersOf(source, unit, state.unitRules);
  const isSame = found.size > 0 && Buffer.from(await unitHash(state.context, found)).equals(copy.hash);
  return isSame ? found : undefined;
}

/** Which of these objects corresponds to each object of the unit, by the path in it. */
function counterparts({ members }: UnitCopy, found: UnitMembers): Map<FileId, TreeObject> {
  const byPath = new Map([...found.values()].flatMap(({ object, paths }) => paths.map((path) => [path, object])));
  const became = new Map<FileId, TreeObject>();
  for (const [id, { paths }] of members) {
    const object = byPath.get(paths[0] ?? "");
    if (object !== undefined) became.set(id, object);
  }
  return became;
}

/** The first id of this copy that no object in any of the trees has: a user may have moved parts of an earlier copy. */
async function freshId(state: MergeState, place: Place, of: FileId, hash: Uint8Array): Promise<FileId> {
  const { base, winner, loser, merged } = state;
  for (let generation = 0; ; generation++) {
    const id = copyId(place.parent, of, place.name, hash, generation);
    if (merged.get(id) === undefined && !(await isAlive(id, [base, winner, loser]))) return id;
  }
}

function layer({ merged }: MergeState, id: FileId, object: TreeObject, names: readonly Place[]): TreeObject {
  const placed = { ...object, id, names: sortPlaces(names), subdirs: 0 };
  merged.layer(id, undefined, placed);
  return placed;
}

function originOf({ origin: { writer, epoch } }: UnitCopy): Pick<UnitCopy["origin"], "writer" | "epoch"> {
  return { writer, epoch };
}
