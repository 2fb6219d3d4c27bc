/**
 * Finds units that both sides changed, from whole trees, without the merge's code. One side's unit must be in its place, as
 * that side left it, and the other's must be somewhere as a whole.
 */
import { isDeepStrictEqual } from "node:util";
import type { FileId } from "../../src/base/ids.ts";
import type { Surveyed } from "./merge-laws.ts";

export interface ContestedUnit {
  /** A short description for readers of a fault. */
  readonly what: string;
  /** The ids of all objects of the unit in the base and on both sides. */
  readonly ids: ReadonlySet<FileId>;
  /** Each side's names in the unit. */
  readonly names: readonly ReadonlySet<string>[];
  /** Each side's contents, by path in the unit. Empty: nothing is left. */
  readonly sides: readonly Contents[];
  /** The merged tree's contents of this very directory, or beside this very name. */
  readonly find: (merged: Surveyed) => Contents;
  /** The contents of all units of this kind in the merged tree. */
  readonly all: (merged: Surveyed) => Contents[];
}

/** Path → text; undefined for directories. */
type Contents = ReadonlyMap<string, string | undefined>;

const SUFFIXES = ["", "-journal", "-shm", "-wal"];

/**
 * The outermost contested units whose root was in the base, or was created alike on both sides. `back`: directories whose moves
 * were undone, since they closed a cycle. They are missing where they were moved to.
 */
export function contestedUnits(
  base: Surveyed,
  x: Surveyed,
  y: Surveyed,
  back: ReadonlySet<FileId> = new Set(),
): ContestedUnit[] {
  // For a directory of the base, its name there decides whether it is a unit.
  const roots = knownToBoth(base, x, y, treeRoots, (root) => root).filter(
    (root) => !base.objects.has(root) || treeRoots(base).includes(root),
  );
  const trees = roots.filter((root) => isContested([base, x, y].map((tree) => below(tree, root))));
  const all = trees.map((root): ContestedUnit => {
    const members = [base, x, y].map((tree) => below(tree, root));
    return {
      what: `directory ${root}`,
      ids: idsOf(members),
      names: members.slice(1).map(namesOf),
      sides: members.slice(1).map((found) => textsOf(without(found, back))),
      find: (merged) => textsOf(below(merged, root)),
      all: (merged) => directoriesOf(merged).map((directory) => textsOf(below(merged, directory))),
    };
  });
  for (const { parent, main } of knownToBoth(base, x, y, mainsOf, (found) => `${found.parent}/${found.main}`)) {
    const members = [base, x, y].map((tree) => beside(tree, parent, main));
    if (!isContested(members) || !members.some((found) => [...found.keys()].some((path) => path !== ""))) continue;
    all.push({
      what: `files of ${main} in ${parent}`,
      ids: idsOf(members),
      names: members.slice(1).map(namesOf),
      sides: members.slice(1).map(textsOf),
      find: (merged) => textsOf(beside(merged, parent, main)),
      all: (merged) => mainsOf(merged).map((found) => textsOf(beside(merged, found.parent, found.main))),
    });
  }
  return all.filter(({ what }) => {
    const root = what.split(" ").at(-1) ?? "";
    return (
      !trees.some((tree) => tree !== root && isBelow(base, root as FileId, tree)) &&
      !(what.startsWith("files") && trees.includes(root as FileId))
    );
  });
}

/** Law of units: a unit is never mixed. */
export function tornUnits(units: readonly ContestedUnit[], merged: Surveyed): string[] {
  return units.flatMap(({ what, sides, find, all }) => {
    const found = find(merged);
    const holds = (side: Contents) => [...side].every(([path, text]) => found.has(path) && found.get(path) === text);
    // A repository's directory may also hold files with conflict names; a database has no room for other files.
    const isHeld = (side: Contents) => holds(side) && (what.startsWith("directory") || side.size === found.size);
    const whole = sides.some(isHeld);
    const everywhere = all(merged);
    const lost = sides.filter(
      (side) =>
        side.size > 0 && !isHeld(side) && !everywhere.some((other) => isDeepStrictEqual(sorted(other), sorted(side))),
    );
    const torn = whole
      ? []
      : [`torn: ${what}: ${JSON.stringify([...found])} of ${JSON.stringify(sides.map((side) => [...side]))}`];
    return [...torn, ...(lost.length > 0 ? [`no whole unit: ${what}`] : [])];
  });
}

/**
 * Law of units: a name that a side gave a unit's file outside of units is there afterwards, with that side's bytes or as the same
 * file, or it is a conflict name. Of two sides that moved the file, the winner may decide.
 */
export function lostLinks(
  units: readonly ContestedUnit[],
  base: Surveyed,
  [side, other]: readonly [Surveyed, Surveyed],
  index: number,
  merged: Surveyed,
): string[] {
  const inUnits = new Set(units.flatMap(({ names }) => [...(names[index] ?? [])]));
  return [...new Set(units.flatMap(({ ids }) => [...ids]))].flatMap((id) => {
    const [before, mine, theirs] = [base, side, other].map((tree) => tree.objects.get(id));
    if (mine === undefined || mine.record.type === "directory") return [];
    if (before === undefined && theirs !== undefined) return [];
    if ([before, mine, theirs].every((object) => object?.names.length === 1)) return [];
    const isThere = (name: string) =>
      merged.objects.get(id)?.names.includes(name) === true ||
      [...merged.objects.values()].some(
        (object) =>
          merged.texts.get(object.id) === side.texts.get(id) &&
          object.names.some((found) => found === name || found.replace(CONFLICT_MARK, "") === name),
      );
    const gained = mine.names.filter((name) => before?.names.includes(name) !== true && !inUnits.has(name));
    return gained.flatMap((name) => (isThere(name) ? [] : [`lost link: ${id} ${name}`]));
  });
}

/** Law 6 for units: in a unit that one side alone made or changed, links to files of units have that side's bytes. */
export function spoiltUnits(
  units: readonly ContestedUnit[],
  base: Surveyed,
  [side, other]: readonly [Surveyed, Surveyed],
  merged: Surveyed,
): string[] {
  const contested = new Set(units.flatMap(({ ids }) => [...ids]));
  const former = new Set(unitsOf(base).flatMap(({ find }) => [...find(base).values()].map(({ id }) => id)));
  return unitsOf(side).flatMap(({ what, find }) => {
    const [before, mine, theirs, now] = [base, side, other, merged].map((tree) => plain(find(tree)));
    if ([...(mine ?? [])].some(([, { id }]) => contested.has(id))) return [];
    if (!isDeepStrictEqual(before, theirs) || isDeepStrictEqual(before, mine)) return [];
    return [...find(side)].flatMap(([path, { id, text, name }]) => {
      const found = now?.get(path);
      const isLink = former.has(id) && base.objects.get(id)?.names.includes(name) === false;
      return found !== undefined && isLink && found.text !== text ? [`spoilt: ${what} ${path}`] : [];
    });
  });
}

function unitsOf(tree: Surveyed) {
  const trees = treeRoots(tree).map((root) => ({ what: String(root), find: (of: Surveyed) => below(of, root) }));
  const families = mainsOf(tree).map(({ parent, main }) => {
    return { what: `${parent}/${main}`, find: (of: Surveyed) => beside(of, parent, main) };
  });
  return [...trees, ...families.filter(({ find }) => find(tree).size > 1)];
}

/** Without names outside the unit. */
function plain(found: Found): ReadonlyMap<string, { id: FileId; text: string | undefined }> {
  return new Map(sorted(found).map(([path, { id, text }]) => [path, { id, text }]));
}

const CONFLICT_MARK = / \(conflict [0-9a-f]{8,64}(?: \d+)?\)/;

/** Roots in the base or on both sides. */
function knownToBoth<Root>(
  base: Surveyed,
  x: Surveyed,
  y: Surveyed,
  rootsOf: (tree: Surveyed) => Root[],
  keyOf: (root: Root) => string,
): Root[] {
  const found = new Map(rootsOf(base).map((root) => [keyOf(root), root]));
  const ofY = new Set(rootsOf(y).map(keyOf));
  for (const root of rootsOf(x)) if (ofY.has(keyOf(root))) found.set(keyOf(root), root);
  return [...found.values()];
}

type Found = ReadonlyMap<string, { id: FileId; text: string | undefined; name: string }>;

function isContested(members: readonly Found[]): boolean {
  const [base, x, y] = members.map(plain);
  return (
    !isDeepStrictEqual(sorted(base), sorted(x)) &&
    !isDeepStrictEqual(sorted(base), sorted(y)) &&
    !isDeepStrictEqual(sorted(x), sorted(y))
  );
}

function sorted<Value>(map: ReadonlyMap<string, Value> | undefined): [string, Value][] {
  return [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}

function idsOf(members: readonly Found[]): Set<FileId> {
  return new Set(members.flatMap((found) => [...found.values()].map(({ id }) => id)));
}

function namesOf(found: Found): Set<string> {
  return new Set([...found.values()].map(({ name }) => name));
}

function without(found: Found, directories: ReadonlySet<FileId>): Found {
  const gone = [...found].flatMap(([path, { id }]) => (directories.has(id) ? [path] : []));
  return new Map([...found].filter(([path]) => !gone.some((each) => path === each || path.startsWith(`${each}/`))));
}

function textsOf(found: Found): Contents {
  return new Map([...found].map(([path, { text }]) => [path, text]));
}

function treeRoots(tree: Surveyed): FileId[] {
  return directoriesOf(tree).filter((id) =>
    /^\.git(?: \(conflict [0-9a-f ]+\))*$/.test(tree.objects.get(id)?.names[0]?.slice(33) ?? ""),
  );
}

function directoriesOf({ objects }: Surveyed): FileId[] {
  return [...objects.values()].filter(({ record }) => record.type === "directory").map(({ id }) => id);
}

function mainsOf({ objects }: Surveyed): { parent: FileId; main: string }[] {
  const mains = new Map<string, { parent: FileId; main: string }>();
  for (const { names } of objects.values())
    for (const name of names)
      for (const suffix of SUFFIXES) {
        const main = name.slice(33, name.length - suffix.length);
        if (name.endsWith(suffix) && /\.(?:db|sqlite3?)$/.test(main))
          mains.set(name.slice(0, 33) + main, { parent: name.slice(0, 32) as FileId, main });
      }
  return [...mains.values()];
}

function below(tree: Surveyed, root: FileId): Found {
  const found = new Map<string, { id: FileId; text: string | undefined; name: string }>();
  for (const { id, names } of tree.objects.values())
    for (const name of names) {
      const path = pathBelow(tree, root, name);
      if (path !== undefined) found.set(path, { id, text: tree.texts.get(id), name });
    }
  return found;
}

function pathBelow(tree: Surveyed, root: FileId, name: string): string | undefined {
  let path = name.slice(33);
  for (let at = name.slice(0, 32); at !== root;) {
    const above = tree.objects.get(at as FileId)?.names[0];
    if (above === undefined) return undefined;
    path = `${above.slice(33)}/${path}`;
    at = above.slice(0, 32);
  }
  return path;
}

function isBelow(tree: Surveyed, id: FileId, root: FileId): boolean {
  const name = tree.objects.get(id)?.names[0];
  return name !== undefined && pathBelow(tree, root, name) !== undefined;
}

function beside(tree: Surveyed, parent: FileId, main: string): Found {
  const found = new Map<string, { id: FileId; text: string | undefined; name: string }>();
  for (const { id, names, record } of tree.objects.values())
    for (const suffix of SUFFIXES) {
      const name = `${parent}/${main}${suffix}`;
      if (record.type !== "directory" && names.includes(name))
        found.set(suffix, { id, text: tree.texts.get(id), name });
    }
  return found;
}
