/** Units that a program changed since they were synced. What it removed from them is removed in the bucket, too. */
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { hasSameBytes } from "../known/seen.ts";
import { entryAt } from "./entries-of-object.ts";
import type { Matching } from "./matching.ts";
import { unitPathsOf } from "./unit-paths.ts";
import { foundAt, within, type Found } from "./walk.ts";

export class ChangedUnits {
  readonly #db: SyncDatabase;
  readonly #matching: Matching;
  readonly #units: UnitRules;
  readonly #known = new Map<string, boolean>();

  constructor(db: SyncDatabase, matching: Matching, units: UnitRules) {
    this.#db = db;
    this.#matching = matching;
    this.#units = units;
  }

  /** Whether a name belongs to one. */
  has(entry: Entry): boolean {
    const path = pathInFolder(this.#db, entry);
    if (path === undefined) return false;
    const { tree, family } = unitPathsOf(this.#units, path);
    const first = tree ?? family[0];
    if (first === undefined) return false;
    const key = first.join("/");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const [root] = this.#matching.root.found;
    const members = (tree === undefined ? family : [tree]).flatMap((member) => (root && foundAt(root, member)) ?? []);
    const has = members.flatMap((member) => within(member)).some((found) => this.#hasChanged(found));
    this.#known.set(key, has);
    return has;
  }

  #hasChanged(found: Found): boolean {
    const { stat, parent, name } = found;
    const id = parent && this.#matching.objectOf.get(parent)?.id;
    const object = this.#matching.objectOf.get(found);
    if (stat.type === "directory" || object === undefined) return false;
    const entry = id === undefined ? undefined : entryAt(object.entries, id, name);
    return entry === undefined || !hasSameBytes(entry.seen, stat);
  }
}
