/**
 * Between phases 0 and 1: a unit that both sides changed is taken as a whole from one side, the keeper. The other side's
 * version becomes one copy (unit-copies.ts). From here on, both sides have the unit's objects as the keeper does.
 */
import type { FileId } from "../../../base/ids.ts";
import { copyId } from "../../../format/files/keys.ts";
import type { TreeObject } from "../../fs-reader.ts";
import type { Head } from "../context.ts";
import { versionHash } from "../contents/content.ts";
import { contestedUnits } from "./contested-units.ts";
import type { ContestedUnit } from "./contested-units.ts";
import { mergeWithDelete } from "../merge-object.ts";
import type { MergeState } from "../merge-state.ts";
import { gainedName } from "../locations.ts";
import { isDirectory, sameVersion, sortPlaces } from "../objects.ts";
import { isAlive } from "../splits.ts";
import { otherRole, tripleOf } from "../triple.ts";
import type { Role, Triple } from "../triple.ts";
import { unitHash } from "./unit-members.ts";
import type { Member, UnitMembers, Unit } from "./unit-members.ts";
import { noteLeft } from "../moves.ts";
import { UnitNames } from "./unit-names.ts";
import type { KeptUnit } from "./unit-names.ts";

/** The staying tree's version of objects whose triples no longer tell it. */
export type Stays = Map<FileId, TreeObject | undefined>;

/** Changes the triples of all members. `locate` makes the staying tree find these objects by id, wherever they are. */
export async function resolveUnits(
  state: MergeState,
  triples: Map<FileId, Triple>,
  changed: Role,
  heads: Readonly<Record<Role, Head>>,
  locate: (objects: readonly TreeObject[]) => Promise<void>,
): Promise<Stays> {
  const stays: Stays = new Map();
  const settle = (id: FileId, stay: TreeObject | undefined, object: TreeObject | undefined) => {
    stays.set(id, stay);
    triples.set(id, { base: undefined, winner: object, loser: object });
  };
  const staying = otherRole(changed);
  const contested = await contestedUnits(state, triples, changed, state.unitRules);
  await completeTriples(state[staying], contested, triples, changed, locate);
  const before = new Map(triples);
  const around = surroundings(contested);
  const units = contested.map((each): KeptUnit => {
    const { unit, members } = each;
    if (unit.kind === "tree") state.contestedTrees.add(unit.root);
    const keeper = keeperOf(each, around);
    return { unit, members, keeper, other: otherRole(keeper) };
  });
  const names = new UnitNames(units);
  // If both sides keep a file, each in another unit, the winner's has the id.
  const winnersFirst = [...units].sort((a, b) => Number(a.keeper === "loser") - Number(b.keeper === "loser"));
  for (const { members, keeper, other } of winnersFirst) {
    for (const [id, { object }] of members[keeper]) {
      state.kept.add(id);
      const triple = before.get(id);
      const now = names.staying(keeper, object) ?? object;
      if (stays.has(id)) {
        if (keeper === "loser" && names.isKept("winner", id)) await keepBoth(state, triples, now);
        continue;
      }
      // Unknown to the smaller change, and kept as the staying tree has it.
      if (triple === undefined && now === object) continue;
      if (!members[other].has(id) && !names.isKept(other, id))
        await leaveOutside(state, other, triple?.base, names.staying(other, triple?.[other]));
      settle(id, triple === undefined ? object : triple[staying], now);
    }
  }
  // An object that is kept in one unit may be gone from another.
  for (const { unit, members, keeper, other } of units) {
    const [kept, gone] = [members[keeper], members[other]];
    for (const [id, { object }] of gone) {
      if (state.kept.has(id) || stays.has(id)) continue;
      const within = members.base.get(id)?.object;
      const outside = names.staying(other, object);
      if (within === undefined && outside !== undefined) {
        // Only its name in the unit goes to the copy: outside, it merges as if it had never had that name.
        const base = before.has(id) ? undefined : await state.base.object(id, outside.names);
        const all = before.get(id) ?? tripleOf(base, base, object, changed);
        stays.set(id, all[staying]);
        triples.set(id, { ...all, [keeper]: names.staying(keeper, all[keeper]), [other]: outside });
        continue;
      }
      const triple = before.get(id) ?? tripleOf(within, within, object, changed);
      const keepers = names.staying(keeper, triple[keeper]);
      // Nothing was moved into a unit that is not kept: for the rest of the tree, its contents were removed.
      settle(id, triple[staying], within === undefined ? mergeWithDelete(triple.base, keepers) : keepers);
    }
    const hash = await unitHash(state.context, gone);
    if (gone.size > 0 && !Buffer.from(hash).equals(await unitHash(state.context, kept)))
      state.unitCopies.push({ unit, members: gone, hash, keeper, origin: heads[other] });
  }
  return stays;
}

/** The directory of a unit. It may itself lie in another unit. */
function placeOf({ unit }: ContestedUnit): FileId {
  return unit.kind === "tree" ? unit.root : unit.parent;
}

/** The tree units that contain each unit's directory, by that directory. */
function surroundings(units: readonly ContestedUnit[]): ReadonlyMap<FileId, readonly ContestedUnit[]> {
  const around = new Map(units.map((unit): [FileId, ContestedUnit[]] => [placeOf(unit), []]));
  for (const each of units.filter(({ unit }) => unit.kind === "tree")) {
    const { winner, loser } = each.members;
    for (const id of new Set([...winner.keys(), ...loser.keys()])) around.get(id)?.push(each);
  }
  return around;
}

/**
 * The keeper is the winner, unless it no longer has the unit: then the loser's survives, as any change survives a delete. A
 * unit that another unit's keeper has inside that unit gets the same keeper. `inner`: units already being decided.
 */
function keeperOf(
  own: ContestedUnit,
  around: ReadonlyMap<FileId, readonly ContestedUnit[]>,
  inner: readonly ContestedUnit[] = [],
): Role {
  const { unit, members } = own;
  const at = placeOf(own);
  const inside = [...inner, own];
  for (const outer of around.get(at) ?? []) {
    if (inside.includes(outer)) continue;
    const keeper = keeperOf(outer, around, inside);
    if (outer.members[keeper].has(at) && worth(unit.kind, members[keeper]) > 0) return keeper;
  }
  return worth(unit.kind, members.winner) >= worth(unit.kind, members.loser) ? "winner" : "loser";
}

/** 2: all that makes a unit; 1: only what goes with a main file; 0: nothing. */
function worth(kind: Unit["kind"], members: UnitMembers): number {
  const isWhole = ({ paths }: Member) => kind === "tree" || paths.includes("");
  return members.size === 0 ? 0 : [...members.values()].some(isWhole) ? 2 : 1;
}

/** Adds triples for unit objects that the smaller change left alone: the other side may have moved them out. */
async function completeTriples(
  staying: MergeState["base"],
  units: readonly ContestedUnit[],
  triples: Map<FileId, Triple>,
  changed: Role,
  locate: (objects: readonly TreeObject[]) => Promise<void>,
): Promise<void> {
  const unknown = new Map<FileId, { readonly object: TreeObject; readonly stay: TreeObject | undefined }>();
  for (const { members } of units) {
    const there = members[otherRole(changed)];
    for (const [id, { object }] of members[changed]) {
      if (!triples.has(id) && !unknown.has(id)) unknown.set(id, { object, stay: there.get(id)?.object });
    }
  }
  // One call for all units: it may read everything that the other side changed.
  await locate([...unknown.values()].filter(({ stay }) => stay === undefined).map(({ object }) => object));
  for (const [id, { object, stay }] of unknown) {
    const found = stay ?? (await staying.object(id, object.names));
    triples.set(id, tripleOf(object, object, found, changed));
  }
}

/** A file that each side has in a kept unit of its own: one file with both sides' names if it is the same, else two. */
async function keepBoth(state: MergeState, triples: Map<FileId, Triple>, losers: TreeObject): Promise<void> {
  const winners = triples.get(losers.id)?.winner;
  if (winners === undefined || isDirectory(winners)) return;
  if (sameVersion(winners.record, losers.record)) {
    const both = { ...winners, names: sortPlaces([...winners.names, ...losers.names]) };
    triples.set(losers.id, { base: undefined, winner: both, loser: both });
  } else {
    const own = await leaveOutside(state, "loser", undefined, losers);
    if (own !== undefined) state.kept.add(own);
  }
}

/** A file that a side put or changed outside of a unit whose keeper has it within: it becomes a file of its own. */
async function leaveOutside(
  state: MergeState,
  role: Role,
  base: TreeObject | undefined,
  outside: TreeObject | undefined,
): Promise<FileId | undefined> {
  const [place] = outside?.names ?? [];
  if (outside === undefined || place === undefined || isDirectory(outside)) return undefined;
  if (base !== undefined && sameVersion(base.record, outside.record) && !gainedName(base, outside)) return undefined;
  const hash = await versionHash(state.context, outside.record);
  for (let generation = 0; ; generation++) {
    const id = copyId(place.parent, outside.id, place.name, hash, generation);
    if (state.merged.get(id) !== undefined || (await isAlive(id, [state.base, state.winner, state.loser]))) continue;
    const own = { ...outside, id };
    state.merged.layer(id, undefined, own);
    noteLeft(state, role, outside.id, own);
    return id;
  }
}
