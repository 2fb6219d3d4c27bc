/**
 * Checks, before an epoch's swap, that the units (docs/design/merge.md) it changes still look as the scan saw them. A program
 * may have changed a unit during the scan: the epoch would then mix files of two versions.
 */
import { addAll } from "../../base/collections.ts";
import { SynclineError } from "../../base/errors.ts";
import type { FileName } from "../../base/ids.ts";
import { escapeForPrint } from "../../base/names.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { samePlace } from "../../fstree/object-rows.ts";
import { hasStat, type DiskPath, type DiskStat, type ListedEntry, type SyncDisk } from "../disk/disk.ts";
import { pathText } from "../disk/paths.ts";
import type { Look, SyncDatabase } from "../known/database.ts";
import { isUntouched } from "../known/seen.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import { isStill } from "../scan/local-content.ts";
import type { Matching } from "../scan/matching.ts";
import type { UsedRules } from "../scan/pass-rules.ts";
import { familyOf } from "../scan/unit-paths.ts";
import { isMount, listIfReadable, lookBelow, type Found } from "../scan/walk.ts";

export interface StillContext {
  readonly db: Pick<SyncDatabase, "looks">;
  readonly disk: SyncDisk;
  readonly rules: Pick<UsedRules, "now">;
  readonly units: UnitRules;
}

export class StillUnits implements AsyncDisposable {
  /** The epoch's changes in units that changed since the scan. */
  readonly changed: DiskPath[] = [];
  readonly #context: StillContext;
  readonly #matching: Matching;
  /** The epoch's changes in units that are directories, by the outermost such directory. */
  readonly #trees = new Map<Found, DiskPath[]>();
  /** The epoch's changes in families of files, by directory and main name. */
  readonly #families = new Map<Found, Map<FileName, DiskPath[]>>();
  readonly #treeOf = new Map<Found, Found | undefined>();
  #children: ReadonlyMap<Found, Children> | undefined;
  #checked: Promise<void> | undefined;

  constructor(context: StillContext, matching: Matching, { changes }: Pick<LocalChanges, "changes">) {
    this.#context = context;
    this.#matching = matching;
    for (const { object } of changes) {
      for (const { parent, name } of object.found) if (parent !== undefined) this.#add(parent, name);
      for (const { parent, name } of object.entries) {
        const [above] = matching.ofId(parent)?.found ?? [];
        if (above !== undefined) this.#add(above, name);
      }
    }
  }

  /** Call when all contents are read. Throws `precondition_failed` if a unit changed. Looks once, however often called. */
  check(): Promise<void> {
    return (this.#checked ??= this.#check());
  }

  /** Ends once nothing looks at the disk any more: a failed upload does not wait for a check beside it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#checked?.catch(() => {});
  }

  async #check(): Promise<void> {
    for (const [root, paths] of this.#trees) if (!(await this.#isTreeStill(root))) addAll(this.changed, paths);
    for (const [directory, families] of this.#families) {
      for (const [main, paths] of families)
        if (!(await this.#isFamilyStill(directory, main))) addAll(this.changed, paths);
    }
    const [first] = this.changed;
    if (first === undefined) return;
    throw new SynclineError(
      "precondition_failed",
      `Files that belong with ${escapeForPrint(pathText(first))} changed since the scan.`,
      { hint: "It will be synced once no program writes to it." },
    );
  }

  #add(directory: Found, name: FileName): void {
    const { units } = this.#context;
    const path = directory.path.concat(name);
    const tree = this.#treeAbove(directory);
    if (tree !== undefined) return noteIn(this.#trees, tree, path);
    for (const main of units.mainsOf(name)) {
      const families = this.#families.get(directory) ?? new Map<FileName, DiskPath[]>();
      this.#families.set(directory, families);
      noteIn(families, main, path);
    }
  }

  /** The outermost unit that a directory is in, or is. */
  #treeAbove(directory: Found): Found | undefined {
    const { parent, name } = directory;
    if (parent === undefined || this.#treeOf.has(directory)) return this.#treeOf.get(directory);
    const tree = this.#treeAbove(parent) ?? (this.#context.units.isTree(name) ? directory : undefined);
    this.#treeOf.set(directory, tree);
    return tree;
  }

  async #isTreeStill(root: Found): Promise<boolean> {
    const now = await lookBelow(this.#context.disk, root.path);
    const isThere = now !== undefined && now !== "closed" && isStill(root.stat, now);
    return isThere && this.#isDirectoryStill(root);
  }

  async #isDirectoryStill(directory: Found): Promise<boolean> {
    if (directory.closed) return true;
    const entries = await listIfReadable(this.#context.disk, directory.path);
    if (entries === undefined) return false;
    const [children, looks] = [this.#childrenOf(directory), this.#looksIn(directory)];
    const missing = new Set(children.keys());
    // Of other objects, the walk told that they are gone.
    for (const [name, { id }] of looks) if (this.#matching.ofId(id) === undefined) missing.add(name);
    for (const entry of entries) {
      const found = children.get(entry.name);
      missing.delete(entry.name);
      const isSame = found === undefined ? this.#isPassedOver(directory, entry, looks) : isStillThere(found, entry);
      if (!isSame) return false;
    }
    if (missing.size > 0) return false;
    for (const child of children.values())
      if (child.stat.type === "directory" && !(await this.#isDirectoryStill(child))) return false;
    return true;
  }

  async #isFamilyStill(directory: Found, main: FileName): Promise<boolean> {
    const [children, looks] = [this.#childrenOf(directory), this.#looksIn(directory)];
    for (const name of familyOf(this.#context.units, main)) {
      const found = children.get(name);
      const now = await lookBelow(this.#context.disk, directory.path.concat(name));
      if (found !== undefined && found.stat.type !== "directory") {
        if (now === undefined || now === "closed" || !isStill(found.stat, now)) return false;
      } else if (now !== undefined && now !== "closed" && now.type !== "directory") {
        // On some disks, two spellings are one name.
        const isOther = [...children.values()].some(({ stat }) => isStill(stat, now));
        if (!isOther && !this.#isPassedOver(directory, { name, stat: now }, looks)) return false;
      }
    }
    return true;
  }

  /** Whether the walk left this name out, and still would: it is not synced, or in a directory with only unchanged files. */
  #isPassedOver(directory: Found, entry: ListedEntry, looks: Looks): boolean {
    if (!hasStat(entry) || isMount(entry.stat, directory.stat) || !isSynced(entry.stat)) return true;
    const { name, stat } = entry;
    if (this.#context.rules.now.ignores(directory.path.concat(name), stat.type === "directory")) return true;
    const parent = this.#matching.objectOf.get(directory)?.id;
    const look = looks.get(name);
    if (parent === undefined || look === undefined) return false;
    const known = this.#matching.ofId(look.id);
    if (known === undefined) return isUntouched(look.seen, stat);
    // While a deletion awaits approval, what has the name now waits, too.
    return known.kept.some((place) => samePlace(place, { parent, name }));
  }

  #looksIn(directory: Found): Looks {
    const id = this.#matching.objectOf.get(directory)?.id;
    return id === undefined ? new Map() : this.#context.db.looks(id);
  }

  #childrenOf(directory: Found): Children {
    this.#children ??= childrenIn(this.#matching);
    return this.#children.get(directory) ?? new Map();
  }
}

type Looks = ReadonlyMap<FileName, Look>;
type Children = ReadonlyMap<FileName, Found>;

/** What was found in each directory. What a portion finds does not name its children. */
function childrenIn({ objects }: Matching): ReadonlyMap<Found, Children> {
  const all = new Map<Found, Map<FileName, Found>>();
  for (const found of objects.flatMap((object) => object.found)) {
    if (found.parent === undefined) continue;
    const children = all.get(found.parent) ?? new Map<FileName, Found>();
    all.set(found.parent, children.set(found.name, found));
  }
  return all;
}

function isStillThere({ stat }: Found, entry: ListedEntry): boolean {
  return hasStat(entry) && isStill(stat, entry.stat);
}

function isSynced({ type }: DiskStat): boolean {
  return type === "file" || type === "symlink" || type === "directory";
}

function noteIn<Key>(paths: Map<Key, DiskPath[]>, key: Key, path: DiskPath): void {
  const known = paths.get(key);
  if (known === undefined) paths.set(key, [path]);
  else known.push(path);
}
