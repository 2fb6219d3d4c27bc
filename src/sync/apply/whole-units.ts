/**
 * Units of a plan that the folder shows already (docs/design/merge.md, Units). Each is changed as a whole, or not at all if
 * something in it changed since the scan: a new database beside a log that was written for the old one would be damaged.
 */
import { groupBy } from "../../base/collections.ts";
import type { FileId } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { placeText } from "../../fstree/object-rows.ts";
import { hasStat, type DiskPath, type DiskStat, type SyncDisk } from "../disk/disk.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { directoryIn } from "../known/path-in-folder.ts";
import { isSameInode, isUntouched, looksSame } from "../known/seen.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";
import { unitPathsOf } from "../scan/unit-paths.ts";
import { isMount, listIfReadable, lookBelow } from "../scan/walk.ts";
import type { Plan, Put, Removal } from "./plan.ts";

export interface WholeUnitsContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly units: UnitRules;
  readonly rules: IgnoreRules;
  readonly isAsKnown: (path: DiskPath, entry: Entry) => Promise<boolean>;
}

/** A unit by its paths in the folder. */
export type PlannedUnit =
  | { readonly kind: "tree"; readonly root: DiskPath }
  | { readonly kind: "family"; readonly members: readonly DiskPath[] };

export class WholeUnits {
  /** The plan's, in the order in which units stay together. */
  readonly puts: readonly Put[];
  /** The plan's, without those that go with puts of their unit. */
  readonly removals: readonly Removal[];
  readonly #context: WholeUnitsContext;
  readonly #known = new Map<string, PlannedUnit>();
  readonly #unitOf = new Map<Put | Removal, PlannedUnit>();
  /** Removals that go with puts. */
  readonly #leaving: Map<PlannedUnit | undefined, readonly Removal[]>;
  readonly #changed = new Set<PlannedUnit>();

  constructor(context: WholeUnitsContext, { puts, removals }: Plan) {
    this.#context = context;
    for (const each of [...puts, ...removals]) {
      const unit = this.#unitAt(each.path);
      if (unit !== undefined) this.#unitOf.set(each, unit);
    }
    const arriving = new Set(puts.map(({ target }) => target.id));
    const taken = new Set(puts.map(({ place }) => placeText(place)));
    const placed = new Set(puts.map((put) => this.of(put)));
    // The others wait for puts in other places.
    const isLeaving = (each: Removal) => {
      const { id, record } = each.entry;
      const isFree = record.type !== "directory" && !arriving.has(id) && !taken.has(placeText(each.entry));
      return isFree && this.of(each) !== undefined && placed.has(this.of(each));
    };
    this.#leaving = groupBy(removals.filter(isLeaving), (each) => this.of(each));
    this.puts = this.#together(puts);
    this.removals = this.#together(removals.filter((each) => !isLeaving(each)));
  }

  of(planned: Put | Removal): PlannedUnit | undefined {
    return this.#unitOf.get(planned);
  }

  /** The removals that go with a unit's puts, once. */
  takeRemovals(unit: PlannedUnit | undefined): readonly Removal[] {
    const removals = this.#leaving.get(unit) ?? [];
    this.#leaving.delete(unit);
    return removals;
  }

  /** Whether the disk has the unit as the database says. If not, it stays so for this plan. */
  async isAsShown(unit: PlannedUnit | undefined): Promise<boolean> {
    if (unit === undefined) return true;
    if (this.#changed.has(unit)) return false;
    const isAsShown = await (unit.kind === "tree"
      ? this.#isTreeAsShown(unit.root)
      : this.#isFamilyAsShown(unit.members));
    if (!isAsShown) this.#changed.add(unit);
    return isAsShown;
  }

  /** What is in no unit comes first, then each unit; otherwise in the same order. */
  #together<Planned extends Put | Removal>(planned: readonly Planned[]): readonly Planned[] {
    const groups = groupBy(planned, (each) => this.of(each));
    const single = groups.get(undefined) ?? [];
    groups.delete(undefined);
    return [...single, ...[...groups.values()].flat()];
  }

  #unitAt(path: DiskPath): PlannedUnit | undefined {
    const { db, units } = this.#context;
    const { tree, family } = unitPathsOf(units, path);
    const [first] = tree === undefined ? family : [tree];
    if (first === undefined) return undefined;
    const key = first.join("/");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    // Nothing here goes with a unit that is new as a whole.
    const isHere = tree === undefined || directoryIn(db, tree) !== undefined;
    if (!isHere) return undefined;
    const unit: PlannedUnit = tree === undefined ? { kind: "family", members: family } : { kind: "tree", root: tree };
    this.#known.set(key, unit);
    return unit;
  }

  async #isFamilyAsShown(members: readonly DiskPath[]): Promise<boolean> {
    const { db, disk } = this.#context;
    const [above = []] = members.map((path) => path.slice(0, -1));
    const parent = directoryIn(db, above);
    if (parent === undefined) return true;
    for (const path of members) {
      const [name] = path.slice(-1);
      const entry = name === undefined ? undefined : db.at({ parent, name });
      const stat = await lookBelow(disk, path);
      if (stat === "closed") continue;
      if (name === undefined || this.#isNotSynced(path, stat, undefined)) continue;
      if (stat === undefined ? entry !== undefined : !(await this.#isSame(path, stat, parent, entry))) return false;
    }
    return true;
  }

  async #isTreeAsShown(root: DiskPath): Promise<boolean> {
    const { db, disk } = this.#context;
    const id = directoryIn(db, root);
    const stat = id === undefined ? undefined : await lookBelow(disk, root);
    if (id === undefined || stat === undefined || stat === "closed") return true;
    return this.#isDirectoryAsShown(root, stat, id);
  }

  async #isDirectoryAsShown(path: DiskPath, above: DiskStat, id: FileId): Promise<boolean> {
    const { db } = this.#context;
    const entries = await listIfReadable(this.#context.disk, path);
    // To a scan, too, it is unchanged.
    if (entries === undefined) return true;
    const looks = db.looks(id);
    const met = new Set(entries.map(({ name }) => name));
    for (const [name, look] of looks)
      if (!met.has(name) && !this.#context.rules.ignores(path.concat(name), look.isDirectory)) return false;
    for (const entry of entries) {
      const here = path.concat(entry.name);
      if (!hasStat(entry) || this.#isNotSynced(here, entry.stat, above)) continue;
      const look = looks.get(entry.name);
      if (entry.stat.type === "directory") {
        if (look?.isDirectory !== true || !isSameInode(look.seen, entry.stat)) return false;
        if (!(await this.#isDirectoryAsShown(here, entry.stat, look.id))) return false;
      } else if (look !== undefined && isUntouched(look.seen, entry.stat)) continue;
      else if (!(await this.#isSame(here, entry.stat, id, db.at({ parent: id, name: entry.name })))) return false;
    }
    return true;
  }

  async #isSame(path: DiskPath, stat: DiskStat, parent: FileId, entry: Entry | undefined): Promise<boolean> {
    if (entry === undefined) {
      // On some disks, two spellings are one name.
      return this.#context.db.byInode(stat.ino).some((other) => other.parent === parent);
    }
    if (entry.record.type !== stat.type || !looksSame(entry.seen, stat)) return false;
    return !entry.seen.hasty || this.#context.isAsKnown(path, entry);
  }

  #isNotSynced(path: DiskPath, stat: DiskStat | undefined, above: DiskStat | undefined): boolean {
    if (stat !== undefined && stat.type !== "file" && stat.type !== "symlink" && stat.type !== "directory") return true;
    const isDirectory = stat?.type === "directory";
    if (isDirectory && above === undefined) return true;
    if (stat !== undefined && above !== undefined && isMount(stat, above)) return true;
    return this.#context.rules.ignores(path, isDirectory);
  }
}
