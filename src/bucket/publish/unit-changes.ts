/**
 * What others changed in units (docs/design/merge.md) that the epoch left unchanged. A program that writes in one of them
 * while the epoch is being published keeps its view of the unit until all of it is merged.
 */
import { groupBy } from "../../base/collections.ts";
import { type Cid, type FileId, type FileName, ROOT_ID } from "../../base/ids.ts";
import type { BaseChange, ChangedUnit, ForeignObject } from "../../fstree/change-set.ts";
import { readObject, readSelf } from "../../fstree/fs-reader.ts";
import { Snapshot } from "../../fstree/merge/snapshot.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { type Place, placeText } from "../../fstree/object-rows.ts";
import type { EpochTree } from "./workspace.ts";

/** `changes`: from the epoch's own tree to `tree`. */
export async function unitChanges(
  epochTree: EpochTree,
  tree: Cid,
  changes: readonly BaseChange[],
  rules: UnitRules,
): Promise<ChangedUnit[]> {
  const { built, objects, nodes, moved } = epochTree;
  // In a damaged tree, a name that leads to nothing counts as absent: it must not fail what is already published.
  const [mine, theirs] = [new Snapshot(nodes, built.ours), new Snapshot(nodes, tree)];
  const roots = new Roots(epochTree, tree, rules);
  // Programs that use those continue in the copies, which no other writer has changed yet.
  const moves = new Set(moved?.names.flatMap(({ from, to }) => [placeText(from), placeText(to)]));
  // Some objects got other ids.
  const ours = new Set([...built.objects.values(), ...objects.values()].map(({ id }) => id));
  const found: { key: string; unit: ChangedUnit["unit"]; place: Place }[] = [];
  const add = async (place: Place) => {
    const root = await roots.above(place.parent);
    if (root !== undefined) {
      if (!moves.has(placeText(root.place))) found.push({ key: root.id, unit: { kind: "tree", root: root.id }, place });
      return;
    }
    for (const main of rules.mainsOf(place.name)) {
      if (moves.has(placeText({ parent: place.parent, name: main }))) continue;
      const names = ["", ...rules.suffixesOf(main)].map((suffix) => (main + suffix) as FileName);
      found.push({ key: place.parent + main, unit: { kind: "family", parent: place.parent, names }, place });
    }
  };
  for (const change of changes) {
    if (change.kind === "dentry") await add(change);
    else if (!change.removed) {
      // The contents of a file with several names.
      const object = await readObject(nodes, built.ours, change.id);
      if (object !== undefined && object.record.type !== "directory")
        for (const place of object.names) await add(place);
    }
  }
  // Where our own tree has objects that others moved or linked into a unit.
  const elsewhere = new Map<FileId, Place>();
  for (const change of changes)
    if (change.kind === "dentry" && change.before !== undefined) elsewhere.set(change.before, change);
  const units: ChangedUnit[] = [];
  for (const [, some] of groupBy(found, ({ key }) => key)) {
    const [first] = some;
    if (first === undefined) continue;
    const before = new Map<FileId, ForeignObject>();
    const added = new Map<FileId, ForeignObject>();
    const places = new Set(some.map(({ place }) => placeText(place)));
    for (const { place } of some) {
      const [old, now] = [await mine.at(place), await theirs.at(place)];
      if (old !== undefined && !ours.has(old.id)) before.set(old.id, old);
      if (now === undefined || ours.has(now.id)) continue;
      const isNew = !elsewhere.has(now.id) && now.names.length < 2;
      const known = isNew ? undefined : await readObject(nodes, built.ours, now.id, elsewhere.get(now.id));
      const outside = now.names.filter((name) => !places.has(placeText(name)));
      // An object that is also outside of the unit is visible there: only the name within it is new here.
      if (known !== undefined) before.set(known.id, known);
      else if (outside.length > 0) before.set(now.id, { ...now, names: outside });
      else added.set(now.id, now);
    }
    const { unit } = first;
    const directory = unit.kind === "tree" ? unit.root : unit.parent;
    for (const gone of await goneAbove(epochTree, tree, directory)) if (!ours.has(gone.id)) before.set(gone.id, gone);
    // If a name now belongs to another object, both cannot be there: the object that was seen takes the place.
    const taken = new Set([...before.values()].flatMap(({ names }) => names.map(placeText)));
    for (const [id, now] of added) {
      const names = now.names.filter((name) => !taken.has(placeText(name)));
      if (before.has(id) || names.length === 0) added.delete(id);
      else added.set(id, { ...now, names });
    }
    if (before.size + added.size > 0) units.push({ unit, before: [...before.values()], added: [...added.values()] });
  }
  return units;
}

/** This directory of our own tree and its gone ancestors: without them, kept objects are unreachable. */
async function goneAbove({ built, nodes }: EpochTree, tree: Cid, directory: FileId): Promise<ForeignObject[]> {
  const gone = new Map<FileId, ForeignObject>();
  for (let at: FileId | undefined = directory; at !== undefined && at !== ROOT_ID && !gone.has(at);) {
    if ((await readSelf(nodes, tree, at)) !== undefined) break;
    const object = await readObject(nodes, built.ours, at);
    if (object === undefined) break;
    gone.set(at, object);
    at = object.names[0]?.parent;
  }
  return [...gone.values()];
}

interface Root {
  readonly id: FileId;
  readonly place: Place;
}

/** The outermost unit directory above a directory, in the epoch's own tree. */
class Roots {
  readonly #ours: Cid;
  readonly #tree: Cid;
  readonly #nodes: EpochTree["nodes"];
  readonly #rules: UnitRules;
  readonly #known = new Map<FileId, Root | undefined>();

  constructor({ built, nodes }: EpochTree, tree: Cid, rules: UnitRules) {
    this.#ours = built.ours;
    this.#tree = tree;
    this.#nodes = nodes;
    this.#rules = rules;
  }

  async above(directory: FileId): Promise<Root | undefined> {
    if (this.#known.has(directory)) return this.#known.get(directory);
    // In a damaged bucket, directories may contain one another.
    this.#known.set(directory, undefined);
    const known = await this.#placeIn(this.#ours, directory);
    const place = known ?? (await this.#placeIn(this.#tree, directory));
    if (place === undefined) return undefined;
    const outer = await this.above(place.parent);
    const own = known !== undefined && this.#rules.isTree(place.name) ? { id: directory, place } : undefined;
    this.#known.set(directory, outer ?? own);
    return outer ?? own;
  }

  async #placeIn(tree: Cid, directory: FileId): Promise<Place | undefined> {
    const self = await readSelf(this.#nodes, tree, directory);
    return self?.kind === "directory" ? self.place : undefined;
  }
}
