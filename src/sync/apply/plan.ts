/**
 * What to do to the folder so that it shows its base: at the unsettled places, and nowhere else. Changes nothing but
 * the database.
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { lookup, type TreeObject } from "../../fstree/fs-reader.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { placeText } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import { PASSING, STUCK, type Reason, type UnsettledPlace } from "../known/unsettled.ts";
import type { DiskPath } from "../disk/disk.ts";
import { sameButCtime, sameRecord } from "../../fstree/same-record.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { sourceOf, type Entry } from "../known/entry.ts";
import { compareAll, type Targets } from "./compare-all.ts";
import { sourcesOf } from "./ignored-sources.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";
import type { Walked } from "../scan/walk.ts";
import { isOwn, isWithin, PARKED_ID } from "../disk/paths.ts";
import { comesOutOfHiding } from "./out-of-hiding.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { noteInSight } from "./in-sight.ts";
import { TreePaths } from "../known/tree-paths.ts";

/** An object that should be at a place, as the tree has it. */
export interface Put {
  readonly place: Place;
  readonly target: TreeObject;
  /** Its path when all is done: for people and ignore rules. */
  readonly path: DiskPath;
  readonly what: "add" | "change" | "move";
  /** Whether neither the place nor the object is in the database, and no other put names the object. */
  readonly isNew: boolean;
}

/** A name to remove. */
export interface Removal {
  readonly entry: Entry;
  readonly path: DiskPath;
  /** Others moved it to an ignored path. What cannot be removed becomes the folder's own. */
  readonly isLeaving: boolean;
}

export interface Plan {
  /** Parents first. */
  readonly puts: readonly Put[];
  /** Leaves first. */
  readonly removals: readonly Removal[];
  /** Places that cannot be shown, and why. */
  readonly left: readonly (UnsettledPlace & { readonly path: DiskPath })[];
}

export interface PlanContext {
  readonly db: SyncDatabase;
  readonly nodes: NodeStore;
  readonly tree: Cid;
  readonly rules: IgnoreRules;
  readonly units: UnitRules;
  /** The scan before. */
  readonly walked: Pick<Walked, "root" | "outOfReach" | "ignored">;
  /** Whether to retry places that only a person can settle. */
  readonly again: boolean;
}

/**
 * Notes what is no longer ignored. If the unsettled places are unknown, notes them, parents first. Runs in the caller's
 * transaction.
 */
export async function noteBehind(context: PlanContext, mostTargets: number): Promise<Targets> {
  await noteInSight(context);
  if (context.db.fact("compare all") === undefined) return new Map();
  const targets = await compareAll(context, mostTargets);
  context.db.setFact("compare all", undefined);
  return targets;
}

/** Compares the unsettled places. Runs in the caller's transaction. */
export function makePlan(context: PlanContext, targets: Targets): Promise<Plan> {
  return new Planner(context, targets).plan();
}

/**
 * Of these unsettled places, plans those that get something new and displace nothing. The rest is left to `makePlan`. Runs
 * in the caller's transaction.
 */
export function planNew(context: PlanContext, targets: Targets, places: readonly UnsettledPlace[]): Promise<Plan> {
  return new Planner(context, targets).planNew(places);
}

class Planner {
  readonly #context: PlanContext;
  readonly #targets: Targets;
  readonly #puts: Put[] = [];
  readonly #gone = new Map<string, Entry>();
  /** Of these, what others moved to ignored paths. */
  readonly #leaving = new Set<string>();
  /** Of those, what is ignored here as well: it stays on the disk, and the database forgets it. */
  readonly #forgotten: Entry[] = [];
  /** Objects that cannot be shown now. */
  readonly #waiting = new Set<FileId>();
  readonly #left: (UnsettledPlace & { path: DiskPath })[] = [];
  readonly #paths: TreePaths;
  /** Whether nothing was synced yet: then the database need not be queried for each place. */
  readonly #isFirst: boolean;

  constructor(context: PlanContext, targets: Targets) {
    this.#context = context;
    this.#targets = targets;
    this.#paths = new TreePaths(context);
    this.#isFirst = context.db.isEmpty();
  }

  async plan(): Promise<Plan> {
    for (const unsettled of this.#context.db.unsettled()) {
      if (this.#context.again || PASSING.has(unsettled.reason)) await this.#compare(unsettled);
      else if (STUCK.has(unsettled.reason)) await this.#report(unsettled);
    }
    if (this.#waiting.size > 0) this.#waitForPlaces();
    const sorted = fromRoot(this.#puts);
    const placed = countBy(sorted);
    const puts = sorted.map((put) => (placed.get(put.target.id) === 1 ? put : oneOfSeveral(put)));
    for (const entry of this.#context.db.children(PARKED_ID)) this.#gone.set(placeText(entry), entry);
    // Also visits those that this adds.
    for (const entry of this.#gone.values()) if (!placed.has(entry.id)) await this.#emptyIgnored(entry);
    const removals = [...this.#gone.values()].flatMap((entry) => this.#removal(entry, placed));
    for (const entry of this.#forgotten) this.#context.db.remove(entry);
    return { puts, removals: removals.sort((a, b) => b.path.length - a.path.length), left: this.#left };
  }

  async planNew(places: readonly UnsettledPlace[]): Promise<Plan> {
    const { db, rules, units } = this.#context;
    for (const place of places) {
      // A database and its log come together.
      if (units.mainsOf(place.name).length > 0) continue;
      if (place.reason !== "waiting" || place.parent === PARKED_ID || db.at(place) !== undefined) continue;
      const target = await this.#targetAt(place);
      if (target === undefined || db.isKnown(target.id) || !KEPT_TYPES.has(target.record.type)) continue;
      const above = await this.#paths.of(place.parent);
      if (above === undefined) continue;
      const path = [...above, place.name];
      if (rules.ignores(path, target.record.type === "directory") || this.#isOutOfReach(path)) continue;
      if (this.#isIgnoredHere(place, target)) continue;
      this.#puts.push({ place: { parent: place.parent, name: place.name }, target, path, what: "add", isNew: true });
    }
    const names = countBy(this.#puts);
    const there = new Set<FileId>([ROOT_ID]);
    // Its directory exists, or is planned before it.
    const puts = fromRoot(this.#puts).filter(({ place: { parent }, target: { id, record } }) => {
      if (names.get(id) !== 1 || !(there.has(parent) || db.byId(parent).length > 0)) return false;
      if (record.type === "directory") there.add(id);
      return true;
    });
    return { puts, removals: [], left: [] };
  }

  async #targetAt(place: Place): Promise<TreeObject | undefined> {
    const { nodes, tree } = this.#context;
    return this.#targets.get(placeText(place)) ?? lookup(nodes, tree, place);
  }

  async #compare(place: UnsettledPlace): Promise<void> {
    const { db, rules } = this.#context;
    // Parked objects are always looked at, and no tree has this place.
    if (place.parent === PARKED_ID) return db.settle(place);
    const target = await this.#targetAt(place);
    const entry = this.#isFirst ? undefined : db.at(place);
    if (target === undefined && entry === undefined) return db.settle(place);
    if (target !== undefined && entry?.id === target.id && sameRecord(entry.record, target.record))
      return db.settle(place);
    if (target !== undefined && entry?.id === target.id && isShownBy(entry, target.record)) {
      db.put({ ...entry, record: target.record });
      return db.settle(place);
    }
    if (entry !== undefined && entry.id !== target?.id) this.#gone.set(placeText(place), entry);
    if (target === undefined) return;
    const above = await this.#paths.of(place.parent);
    if (above === undefined) return db.settle(place);
    const path = [...above, place.name];
    const { type } = target.record;
    if (rules.ignores(path, type === "directory")) return this.#leave(place, path, "ignored");
    if (!KEPT_TYPES.has(type)) return this.#leave(place, path, "not kept here");
    const isThere = entry?.id === target.id;
    if (!isThere && this.#bringsOutOfHiding(entry, target, path)) return this.#wait(place, target, path);
    if (this.#goesOutOfReach(place, path) || (!isThere && this.#comesFromOutOfReach(target)))
      return this.#wait(place, target, path);
    const known = !this.#isFirst && db.isKnown(target.id);
    const what = isThere ? "change" : known ? "move" : "add";
    const isNew = entry === undefined && !known;
    this.#puts.push({ place: { parent: place.parent, name: place.name }, target, path, what, isNew });
  }

  /** Leaves the place and the object as they are until the target can be shown. */
  #wait(place: Place, target: TreeObject, path: DiskPath): void {
    this.#gone.delete(placeText(place));
    this.#waiting.add(target.id);
    this.#leave(place, path, "in the way");
  }

  /** Whether something ignored would come into sight: in a directory that moves, or in one that must go for another object. */
  #bringsOutOfHiding(occupant: Entry | undefined, { id, record }: TreeObject, path: DiskPath): boolean {
    const { db } = this.#context;
    const from = record.type === "directory" ? db.placeOf(id) : undefined;
    if (from !== undefined && comesOutOfHiding(this.#context, from, path)) return true;
    // If another directory takes its place, what is ignored moves into that one.
    if (occupant?.record.type !== "directory" || record.type === "directory") return false;
    return comesOutOfHiding(this.#context, occupant);
  }

  /** A put also waits if something that waits has its place, or if it would land in the old place of a directory that waits. */
  #waitForPlaces(): void {
    for (let waiting = -1; waiting !== this.#waiting.size;) {
      waiting = this.#waiting.size;
      for (const put of this.#puts.splice(0))
        if (this.#mustWait(put)) this.#wait(put.place, put.target, put.path);
        else this.#puts.push(put);
    }
  }

  #mustWait({ place, target, what }: Put): boolean {
    const { db } = this.#context;
    const occupant = db.at(place);
    if (occupant?.id === target.id) return false;
    if (occupant !== undefined && this.#waiting.has(occupant.id)) return true;
    if (!this.#waiting.has(place.parent)) return false;
    return what === "move" || db.placeOf(place.parent) === undefined || this.#isIgnoredHere(place, target);
  }

  /** Whether its path in the folder is ignored. That is not the tree's path while its directory waits. */
  #isIgnoredHere(place: Place, { record }: TreeObject): boolean {
    const { db, rules } = this.#context;
    const here = rules.isEmpty ? undefined : pathInFolder(db, place);
    return here !== undefined && rules.ignores(here, record.type === "directory");
  }

  /** A directory that others moved to an ignored path leaves the folder with all that the database knows in it. */
  async #emptyIgnored(entry: Entry): Promise<void> {
    const { db, rules } = this.#context;
    if (entry.record.type !== "directory" || this.#waiting.has(entry.id)) return;
    const path = await this.#paths.of(entry.id);
    if (path === undefined || !rules.ignores(path, true)) return;
    this.#leaving.add(placeText(entry));
    // Until it has left, others may move it back.
    db.setFact("directory moved", "yes");
    for (const child of db.children(entry.id)) {
      const isElsewhere = (await this.#targetAt(child))?.id !== child.id;
      if (isElsewhere || this.#gone.has(placeText(child))) continue;
      this.#leave(child, [...path, child.name], "ignored");
      this.#leaving.add(placeText(child));
      this.#gone.set(placeText(child), child);
    }
  }

  /** Any change there would have made the place "waiting". */
  async #report(place: UnsettledPlace): Promise<void> {
    const above = await this.#paths.of(place.parent);
    if (above !== undefined) this.#left.push({ ...place, path: [...above, place.name] });
  }

  /** An object with one name leaves it by moving; if it has several names, this one is removed. */
  #removal(entry: Entry, placed: ReadonlyMap<FileId, number>): Removal[] {
    const { db, rules } = this.#context;
    const path = pathInFolder(db, entry);
    if (path === undefined) return [];
    const goesElsewhere = (placed.get(entry.id) ?? 0) > 0;
    if (goesElsewhere && db.byId(entry.id).length === 1) return [];
    // Rules do not apply to what is parked, or in a parked directory.
    const isLeaving = this.#leaving.has(placeText(entry));
    if (!isOwn(path) && rules.ignores(path, entry.record.type === "directory")) {
      if (isLeaving) this.#forgotten.push(entry);
      else this.#leave(entry, path, "ignored");
      return [];
    }
    // A file that is out of sight would look as if it were removed already.
    if (this.#isOutOfReach(path) || this.#waiting.has(entry.id)) {
      this.#leave(entry, path, "in the way");
      return [];
    }
    return [{ entry, path, isLeaving }];
  }

  #isOutOfReach(path: DiskPath): boolean {
    return this.#context.walked.outOfReach.some((each) => isWithin(path, each));
  }

  /** `path`: in the tree. The folder may still have the directory at another one. */
  #goesOutOfReach(place: Place, path: DiskPath): boolean {
    const { db, walked } = this.#context;
    const here = walked.outOfReach.length === 0 ? undefined : pathInFolder(db, place);
    return this.#isOutOfReach(path) || (here !== undefined && this.#isOutOfReach(here));
  }

  /** Whether the name that it would be moved or linked from cannot be seen. */
  #comesFromOutOfReach({ id, record }: TreeObject): boolean {
    const { db, walked } = this.#context;
    const source = walked.outOfReach.length === 0 ? undefined : sourceOf(sourcesOf(this.#context, id), record);
    const path = source && pathInFolder(db, source);
    return path !== undefined && this.#isOutOfReach(path);
  }

  #leave({ parent, name }: Place, path: DiskPath, reason: Reason): void {
    this.#context.db.unsettle({ parent, name }, reason);
    this.#left.push({ parent, name, path, reason });
  }
}

/** Whether at most the ctime differs, which no disk can set. Of a directory it may mean that it is unfinished (placing.ts). */
function isShownBy({ record }: Entry, target: FileRecord): boolean {
  return target.type !== "directory" && sameButCtime(record, target);
}

/** Another put names the same object, so it is known by then. */
function oneOfSeveral(put: Put): Put {
  return { ...put, isNew: false };
}

/** How many puts each object has. */
function countBy(puts: readonly Put[]): ReadonlyMap<FileId, number> {
  const counts = new Map<FileId, number>();
  for (const { target } of puts) counts.set(target.id, (counts.get(target.id) ?? 0) + 1);
  return counts;
}

/** Parents first, by name within each depth. */
function fromRoot(puts: readonly Put[]): Put[] {
  const named = puts.map((put) => ({ put, text: put.path.join("/") }));
  named.sort((a, b) => a.put.path.length - b.put.path.length || compareTexts(a.text, b.text));
  return named.map(({ put }) => put);
}

function compareTexts(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

const KEPT_TYPES: ReadonlySet<string> = new Set(["file", "directory", "symlink"]);
