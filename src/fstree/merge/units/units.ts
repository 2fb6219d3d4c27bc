/**
 * Between phases 0 and 1: a unit that both sides changed is taken as a whole from one side, the keeper. The other side's
 * version becomes one copy (unit-copies.ts). From here on, both sides have the unit's objects as the keeper does.
 */
import type { FileId } from "../../../base/ids.ts";
import { copyId } from "../../../format/files/keys.ts";
import type { TreeObject } from "../../fs-reader.ts";
import type { Place } from "../../object-rows.ts";
import type { Head } from "../context.ts";
import { versionHash } from "../contents/content.ts";
import { contestedUnits } from "./contested-units.ts";
import type { ContestedUnit } from "./contested-units.ts";
import { mergeWithDelete } from "../merge-object.ts";
import type { MergeState } from "../merge-state.ts";
import { mergeNameSets } from "../locations.ts";
import { hasName, isDirectory, sameVersion, sortPlaces } from "../objects.ts";
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
  const { contested, oneSided } = await contestedUnits(state, triples, changed, state.unitRules);
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
  for (const { members, keeper } of winnersFirst) {
    for (const [id, { object }] of members[keeper]) {
      if (stays.has(id)) continue;
      state.kept.set(id, keeper);
      const triple = before.get(id);
      const ours = names.staying(keeper, object) ?? object;
      // Unknown to the smaller change, and kept as the staying tree has it.
      if (triple === undefined && ours === object) continue;
      const now = isDirectory(ours) ? ours : await keepFile(state, names, keeper, ours, triple);
      settle(id, triple === undefined ? object : triple[staying], now);
    }
  }
  // An object gone from this unit may be kept in another. Its names outside units merge as if it had no others.
  for (const { unit, members, keeper, other } of units) {
    const [kept, gone] = [members[keeper], members[other]];
    for (const [id, { object }] of gone) {
      if (state.kept.has(id) || stays.has(id)) continue;
      const outside = names.staying(other, object);
      const found = members.base.get(id)?.object;
      const isKnown = outside === undefined || before.has(id);
      const base = found ?? (isKnown ? undefined : await state.base.object(id, outside.names));
      const triple = before.get(id) ?? tripleOf(base, base, object, changed);
      const [was, keepers] = [names.outside(triple.base), names.staying(keeper, triple[keeper])];
      if (outside === undefined) settle(id, triple[staying], mergeWithDelete(was, keepers));
      else {
        stays.set(id, triple[staying]);
        triples.set(id, tripleOf(was, outside, keepers, other));
      }
    }
    const hash = await unitHash(state.context, gone);
    if (gone.size > 0 && !Buffer.from(hash).equals(await unitHash(state.context, kept)))
      state.unitCopies.push({ unit, members: gone, hash, keeper, origin: heads[other] });
  }
  // One side changed a unit's file, and the other made a hard link to it outside the unit: the link keeps the old bytes.
  for (const { unchanged, members } of oneSided) {
    for (const id of members.keys()) {
      const triple = before.get(id);
      if (triple === undefined || stays.has(id) || state.kept.has(id)) continue;
      const [linked, theirs] = [triple[unchanged], triple[otherRole(unchanged)]];
      if (linked === undefined || theirs === undefined || sameVersion(linked.record, theirs.record)) continue;
      const isOld = (name: Place) => hasName(triple.base, name);
      await separate(
        state,
        linked,
        linked.names.filter((name) => !isOld(name)),
      );
      stays.set(id, triple[staying]);
      triples.set(id, { ...triple, [unchanged]: { ...linked, names: linked.names.filter(isOld) } });
    }
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

/**
 * Merges a file of a kept unit. Its names outside units are merged as a three-way set. If the two versions differ, a new name
 * gets the bytes of the side that made it, and an old name those of the side that changed them. Names that get the other
 * side's bytes, and what that side moved out of the unit, become a separate file.
 */
async function keepFile(
  state: MergeState,
  names: UnitNames,
  keeper: Role,
  ours: TreeObject,
  triple: Triple | undefined,
): Promise<TreeObject> {
  const other = otherRole(keeper);
  const [base, theirs] = [triple?.base, names.staying(other, triple?.[other])];
  const outside = names.outside(base);
  const merged = mergeNameSets(outside?.names ?? [], ours.names, theirs?.names ?? []);
  const ourUnits = names.kept(keeper, ours.names);
  if (theirs === undefined) return { ...ours, names: sortPlaces([...merged, ...ourUnits]) };
  const theirUnits = names.kept(other, theirs.names);
  const isInUnits = names.isIn(other, ours.id);
  const isLinked = isInUnits || theirs.names.some((name) => hasName(ours, name));
  if (isLinked && sameVersion(ours.record, theirs.record))
    return { ...ours, names: sortPlaces([...merged, ...ourUnits, ...theirUnits]) };
  const isOurs = isChanged(base, ours);
  const isTheirs = isChanged(base, theirs);
  // Programs that use it follow the copy.
  const isCopied = isInUnits && theirUnits.length === 0;
  const hasOldNames = isTheirs && !(isOurs && isCopied);
  const apart = theirs.names.filter((name) => hasOldNames || !hasName(base, name));
  const own = await separate(state, theirs, sortPlaces([...apart, ...theirUnits]));
  if (own !== undefined && !isCopied) noteLeft(state, other, ours.id, own);
  if (own !== undefined && theirUnits.length > 0) state.kept.set(own.id, other);
  const isGiven = (name: Place) => isTheirs && !isOurs && hasName(outside, name);
  const staying = merged.filter((name) => hasName(ours, name) && !isGiven(name));
  return { ...ours, names: sortPlaces([...staying, ...ourUnits]) };
}

function isChanged(base: TreeObject | undefined, { record }: TreeObject): boolean {
  return base === undefined || !sameVersion(base.record, record);
}

/** A new file with this version at these places. */
async function separate(
  state: MergeState,
  version: TreeObject,
  names: readonly Place[],
): Promise<TreeObject | undefined> {
  const [place] = names;
  if (place === undefined || isDirectory(version)) return undefined;
  const hash = await versionHash(state.context, version.record);
  for (let generation = 0; ; generation++) {
    const id = copyId(place.parent, version.id, place.name, hash, generation);
    if (state.merged.get(id) !== undefined || (await isAlive(id, [state.base, state.winner, state.loser]))) continue;
    const own = { ...version, id, names };
    state.merged.layer(id, undefined, own);
    return own;
  }
}
