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

/** A unit that one side alone changed. */
export interface OneSidedUnit {
  /** The side that did not. */
  readonly unchanged: Role;
  readonly members: UnitMembers;
}

export interface ComparedUnits {
  readonly contested: ContestedUnit[];
  readonly oneSided: readonly OneSidedUnit[];
}

type Views = Readonly<Record<Role | "base", View>>;

/**
 * Finds the outermost units that both sides changed in different ways, and the units that only one side changed. Contested
 * ones come in the order in which they are resolved: trees before families, each sorted by key. Units may be nested. Outer
 * ones are compared first, since that mostly settles the inner ones: each directory is then read about once.
 */
export async function contestedUnits(
  views: Views,
  triples: ReadonlyMap<FileId, Triple>,
  changed: Role,
  rules: UnitRules,
): Promise<ComparedUnits> {
  const above = new Ancestors(views, triples, changed, rules);
  const { trees, families } = await candidates(triples, changed, rules, above);
  const contested = new Map<string, ContestedUnit>();
  const oneSided: OneSidedUnit[] = [];
  const isInContested = async (unit: Unit) => {
    const from = unit.kind === "tree" ? unit.root : unit.parent;
    for (let roots = await above.treesAbove(from); roots !== "none"; roots = roots.above) {
      const isItself = unit.kind === "tree" && roots.root === from;
      if (!isItself && contested.has(treeKey(roots.root))) return true;
    }
    return false;
  };
  const look = async (key: string, unit: Unit) => {
    if ((await isInContested(unit)) || (unit.kind === "tree" && (await isInOneOnly(views, unit.root)))) return [];
    const members = {
      base: await membersOf(views.base, unit, rules),
      winner: await membersOf(views.winner, unit, rules),
      loser: await membersOf(views.loser, unit, rules),
    };
    const alike = alikeIn(members);
    if (unit.kind === "tree" || hasCompany(members)) {
      if (alike.length === 0) contested.set(key, { unit, members });
      for (const unchanged of ["winner", "loser"] as const)
        if (alike.length === 1 && !differ(members.base, members[unchanged]))
          oneSided.push({ unchanged, members: members.base });
    }
    return alike;
  };
  const left = await outermostFirst(trees, above);
  for (const root of left) {
    // Two trees in which a unit is alike have the same units in it.
    for (const members of await look(treeKey(root), { kind: "tree", root }))
      for (const id of members.keys()) left.delete(id);
  }
  for (const [key, unit] of families) await look(key, unit);
  const outermost: ContestedUnit[] = [];
  // A new directory may have been compared before the unit that contains it.
  for (const [, found] of [...contested].sort(([a], [b]) => (a < b ? -1 : 1)))
    if (!(await isInContested(found.unit))) outermost.push(found);
  return { contested: outermost, oneSided };
}

/** The members as two of the trees have them alike. Empty: both sides changed the unit, in different ways. */
function alikeIn({ base, winner, loser }: ContestedUnit["members"]): UnitMembers[] {
  const pairs = [
    [base, winner],
    [base, loser],
    [winner, loser],
  ] as const;
  return pairs.filter(([one, other]) => !differ(one, other)).map(([one]) => one);
}

/** Whether only one of the three trees has this unit, at most. The other two are alike then. */
async function isInOneOnly(views: Views, root: FileId): Promise<boolean> {
  let lacking = 0;
  for (const view of [views.base, views.winner, views.loser]) if ((await view.object(root)) === undefined) lacking++;
  return lacking > 1;
}

async function outermostFirst(trees: Iterable<FileId>, above: Ancestors): Promise<Set<FileId>> {
  const depths = new Map<FileId, number>();
  for (const root of trees) depths.set(root, depthOf(await above.treesAbove(root)));
  return new Set([...depths].sort(([, a], [, b]) => a - b).map(([root]) => root));
}

interface Candidates {
  /** The root directories of tree units. */
  readonly trees: Set<FileId>;
  /** Families, by key. */
  readonly families: Map<string, Unit>;
}

/** Every unit in which this side changed a name or bytes. */
async function candidates(
  triples: ReadonlyMap<FileId, Triple>,
  changed: Role,
  rules: UnitRules,
  above: Ancestors,
): Promise<Candidates> {
  const found: Candidates = { trees: new Set(), families: new Map() };
  /** Roots that are in `trees` together with all roots above them. */
  const added = new Set<Roots>();
  const add = (above: Roots, { parent, name }: Place) => {
    for (let roots = above; roots !== "none" && !added.has(roots); roots = roots.above) {
      added.add(roots);
      found.trees.add(roots.root);
    }
    for (const main of rules.mainsOf(name)) found.families.set(`f${parent}${main}`, { kind: "family", parent, main });
  };
  for (const triple of triples.values()) {
    const [before, after] = [triple.base, triple[changed]];
    if (before !== undefined && after !== undefined && isSame(before, after)) continue;
    for (const place of before?.names ?? []) {
      add(above.knownFrom("base", place.parent) ?? (await above.rootsFrom("base", place.parent)), place);
    }
    for (const place of after?.names ?? []) {
      add(above.knownFrom(changed, place.parent) ?? (await above.rootsFrom(changed, place.parent)), place);
    }
  }
  return found;
}

/** The nearest unit root above something, and those above that root. */
type Roots = { readonly root: FileId; readonly above: Roots; readonly depth: number } | "none";

function depthOf(roots: Roots): number {
  return roots === "none" ? 0 : roots.depth;
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
  knownFrom(tree: Role | "base", directory: FileId): Roots | undefined {
    return directory === ROOT_ID ? "none" : this.#roots[tree].get(directory);
  }

  /** The unit roots among this directory and those above it in this tree. */
  async rootsFrom(tree: Role | "base", directory: FileId): Promise<Roots> {
    const way = new Set<FileId>();
    let roots: Roots = "none";
    for (let at = directory; at !== ROOT_ID && !way.has(at);) {
      const known = this.knownFrom(tree, at);
      if (known !== undefined) {
        roots = known;
        break;
      }
      way.add(at);
      const view = this.#viewOf(tree, at);
      const object = view.remembered(at) ?? (await view.object(at));
      const [place] = object?.names ?? [];
      if (place === undefined) break;
      at = place.parent;
    }
    for (const id of [...way].reverse()) {
      const inBase = this.#views.base.remembered(id);
      if (inBase === undefined ? await this.#isRoot(tree, id) : this.#isNamedSo(inBase))
        roots = { root: id, above: roots, depth: depthOf(roots) + 1 };
      this.#roots[tree].set(id, roots);
    }
    return roots;
  }

  /** The unit roots above it in the base; for a new directory, in the winner's tree, else in the loser's. */
  async treesAbove(directory: FileId): Promise<Roots> {
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

function newRoots(): Map<FileId, Roots> {
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
