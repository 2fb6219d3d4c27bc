/** Finds units that both sides changed. Only candidates are read: the units that the smaller change touches. */
import type { FileId } from "../../../base/ids.ts";
import { ROOT_ID } from "../../../base/ids.ts";
import type { TreeObject } from "../../fs-reader.ts";
import type { Place } from "../../object-rows.ts";
import { samePlaces, sameVersion } from "../objects.ts";
import type { View } from "../snapshot.ts";
import type { Role, Triple } from "../triple.ts";
import { otherRole } from "../triple.ts";
import type { Member, UnitMembers, Unit } from "./unit-members.ts";
import { differ, membersOf } from "./unit-members.ts";
import type { UnitRules } from "./unit-rules.ts";

export interface ContestedUnit {
  readonly unit: Unit;
  readonly members: Readonly<Record<Role | "base", UnitMembers>>;
}

type Views = Readonly<Record<Role | "base", View>>;

/** Trees before families, each sorted by key: the order in which they are resolved. */
export async function contestedUnits(
  views: Views,
  triples: ReadonlyMap<FileId, Triple>,
  changed: Role,
  rules: UnitRules,
): Promise<ContestedUnit[]> {
  const above = new Ancestors(views, triples, changed, rules);
  const units = await candidates(triples, changed, rules, above);
  const contested = new Map<string, ContestedUnit>();
  for (const [key, unit] of [...units].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const members = {
      base: await membersOf(views.base, unit, rules),
      winner: await membersOf(views.winner, unit, rules),
      loser: await membersOf(views.loser, unit, rules),
    };
    if (!differ(members.base, members.winner) || !differ(members.base, members.loser)) continue;
    if (!differ(members.winner, members.loser)) continue;
    if (unit.kind === "family" && !hasCompany(members)) continue;
    contested.set(key, { unit, members });
  }
  const outermost: ContestedUnit[] = [];
  for (const found of contested.values()) {
    const from = found.unit.kind === "tree" ? found.unit.root : found.unit.parent;
    const outer = (await above.treesAbove(from)).filter((root) => root !== from || found.unit.kind === "family");
    if (!outer.some((root) => contested.has(treeKey(root)))) outermost.push(found);
  }
  return outermost;
}

/** Every unit in which this side changed a name or bytes, by key. */
async function candidates(
  triples: ReadonlyMap<FileId, Triple>,
  changed: Role,
  rules: UnitRules,
  above: Ancestors,
): Promise<Map<string, Unit>> {
  const units = new Map<string, Unit>();
  for (const triple of triples.values()) {
    const [before, after] = [triple.base, triple[changed]];
    if (before !== undefined && after !== undefined && isSame(before, after)) continue;
    for (const place of before?.names ?? []) {
      const roots = above.knownFrom("base", place.parent) ?? (await above.rootsFrom("base", place.parent));
      addUnits(units, roots, place, rules);
    }
    for (const place of after?.names ?? []) {
      const roots = above.knownFrom(changed, place.parent) ?? (await above.rootsFrom(changed, place.parent));
      addUnits(units, roots, place, rules);
    }
  }
  return units;
}

function addUnits(units: Map<string, Unit>, roots: readonly FileId[], { parent, name }: Place, rules: UnitRules): void {
  for (const root of roots) units.set(treeKey(root), { kind: "tree", root });
  for (const main of rules.mainsOf(name)) units.set(`f${parent}${main}`, { kind: "family", parent, main });
}

/**
 * The unit roots above a directory. A directory's name in the base decides whether it is one; for a new directory, the name
 * that its side gave it. So both sides see the same roots.
 */
class Ancestors {
  readonly #views: Views;
  readonly #triples: ReadonlyMap<FileId, Triple>;
  readonly #changed: Role;
  readonly #rules: UnitRules;
  readonly #roots = { base: newRoots(), winner: newRoots(), loser: newRoots() };

  constructor(views: Views, triples: ReadonlyMap<FileId, Triple>, changed: Role, rules: UnitRules) {
    this.#views = views;
    this.#triples = triples;
    this.#changed = changed;
    this.#rules = rules;
  }

  /** As `rootsFrom`, where it was found before. */
  knownFrom(tree: Role | "base", directory: FileId): readonly FileId[] | undefined {
    return directory === ROOT_ID ? NO_ROOTS : this.#roots[tree].get(directory);
  }

  /** The unit roots among this directory and those above it in this tree. */
  async rootsFrom(tree: Role | "base", directory: FileId): Promise<readonly FileId[]> {
    const way: FileId[] = [];
    let roots = NO_ROOTS;
    for (let at = directory; at !== ROOT_ID && !way.includes(at);) {
      const known = this.#roots[tree].get(at);
      if (known !== undefined) {
        roots = known;
        break;
      }
      way.push(at);
      const view = this.#viewOf(tree, at);
      const object = view.remembered(at) ?? (await view.object(at));
      const [place] = object?.names ?? [];
      if (place === undefined) break;
      at = place.parent;
    }
    for (const id of way.toReversed()) {
      const inBase = this.#views.base.remembered(id);
      if (inBase === undefined ? await this.#isRoot(tree, id) : this.#isNamedSo(inBase)) roots = [id, ...roots];
      this.#roots[tree].set(id, roots);
    }
    return roots;
  }

  /** The unit roots above it in the base; for a new directory, in the winner's tree, else in the loser's. */
  async treesAbove(directory: FileId): Promise<readonly FileId[]> {
    for (const tree of ["base", "winner", "loser"] as const)
      if (directory === ROOT_ID || (await this.#views[tree].object(directory)) !== undefined)
        return this.rootsFrom(tree, directory);
    return this.rootsFrom(otherRole(this.#changed), directory);
  }

  async #isRoot(tree: Role | "base", id: FileId): Promise<boolean> {
    return this.#isNamedSo((await this.#views.base.object(id)) ?? (await this.#viewOf(tree, id).object(id)));
  }

  #isNamedSo(object: TreeObject | undefined): boolean {
    const place = object?.names[0];
    return place !== undefined && this.#rules.isTree(place.name);
  }

  /** Objects that the smaller change left alone are read in the base only: the third tree need not be opened for them. */
  #viewOf(tree: Role | "base", id: FileId): View {
    const isUntouched = tree === this.#changed && !this.#triples.has(id);
    return this.#views[isUntouched ? "base" : tree];
  }
}

const NO_ROOTS: readonly FileId[] = [];

function newRoots(): Map<FileId, readonly FileId[]> {
  return new Map();
}

/** A family that never had more than its main file is just a file. */
function hasCompany(members: ContestedUnit["members"]): boolean {
  const isCompanion = ({ paths }: Member) => paths.some((path) => path !== "");
  return Object.values(members).some((found) => [...found.values()].some(isCompanion));
}

function isSame(a: TreeObject, b: TreeObject): boolean {
  return sameVersion(a.record, b.record) && samePlaces(a.names, b.names);
}

function treeKey(root: FileId): string {
  return `d${root}`;
}
