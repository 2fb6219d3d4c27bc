/** Units of which a part is missing: old and new files together would be a damaged database or repository on all machines. */
import type { FileId } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { DiskPath } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import type { LocalChanges } from "./local-changes.ts";
import type { LocalObject, Matching } from "./matching.ts";
import { unitPathsOf } from "./unit-paths.ts";

/** A scan's changes, without those in units that any of these paths belongs to: they stay as they are in the bucket. */
export function withoutUnits(
  local: LocalChanges,
  matching: Matching,
  units: UnitRules,
  leftOut: readonly DiskPath[],
): LocalChanges {
  if (leftOut.length === 0) return local;
  const left = new LeftUnits(matching, units, leftOut);
  const stays = ({ object }: { readonly object: LocalObject }) => !left.has(object);
  const changes = local.changes.filter(stays);
  const inos = new Set(changes.map(({ object }) => object.ino));
  return {
    ...local,
    changes,
    sources: new Map([...local.sources].filter(([ino]) => inos.has(ino))),
    observed: local.observed.filter(stays),
    deletedFiles: local.deletedFiles.filter(({ id }) => !left.hasId(id)),
  };
}

/** Names that may come back: a log must not come back beside a database that went on without it. */
export function withoutLogs(names: readonly Entry[], matching: Matching, units: UnitRules): readonly Entry[] {
  return names.filter(({ parent, name, record }) => {
    if (record.type === "directory") return true;
    const mains = units.mainsOf(name).filter((main) => main !== name);
    if (mains.length === 0) return true;
    const beside = matching.ofId(parent)?.found.flatMap(({ children }) => children) ?? [];
    return !mains.some((main) => beside.some((found) => found.name === main));
  });
}

class LeftUnits {
  readonly #matching: Matching;
  readonly #trees = new Set<string>();
  readonly #members = new Set<string>();
  readonly #known = new Map<LocalObject, boolean>();

  constructor(matching: Matching, units: UnitRules, leftOut: readonly DiskPath[]) {
    this.#matching = matching;
    for (const path of leftOut) {
      const { tree, family } = unitPathsOf(units, path);
      if (tree !== undefined) this.#trees.add(textOf(tree));
      for (const member of family) this.#members.add(textOf(member));
    }
  }

  /** Whether it is in one of them, or was when last synced. Moves out of a unit wait with the unit. */
  has(object: LocalObject): boolean {
    const known = this.#known.get(object);
    if (known !== undefined) return known;
    // In a damaged database, directories may contain one another.
    this.#known.set(object, false);
    const has = object !== this.#matching.root && this.#isIn(object);
    this.#known.set(object, has);
    return has;
  }

  hasId(id: FileId): boolean {
    const object = this.#matching.ofId(id);
    return object !== undefined && this.has(object);
  }

  #isIn({ id, found, entries }: LocalObject): boolean {
    const isThere = found.some(({ path, parent }) => {
      const above = parent === undefined ? undefined : this.#matching.objectOf.get(parent);
      const isNewRoot = id === undefined && this.#trees.has(textOf(path));
      return isNewRoot || this.#isMember(path) || (above !== undefined && this.has(above));
    });
    return isThere || entries.some((entry) => this.#wasMember(entry));
  }

  #wasMember({ parent, name }: LocalObject["entries"][number]): boolean {
    const above = this.#matching.ofId(parent);
    if (above === undefined) return false;
    const path = this.#pathOf(above);
    return (path !== undefined && this.#isMember([...path, name])) || this.has(above);
  }

  #isMember(path: DiskPath): boolean {
    if (this.#members.has(textOf(path))) return true;
    return this.#trees.size > 0 && path.some((_, at) => at > 0 && this.#trees.has(textOf(path.slice(0, at))));
  }

  /** Where a directory is, or was. */
  #pathOf({ found: [first], entries: [entry] }: LocalObject, depth = 0): DiskPath | undefined {
    if (first !== undefined || entry === undefined || depth > MAX_DEPTH) return first?.path;
    const above = this.#matching.ofId(entry.parent);
    const path = above && this.#pathOf(above, depth + 1);
    return path && [...path, entry.name];
  }
}

function textOf(path: DiskPath): string {
  return path.join("/");
}

const MAX_DEPTH = 4_096;
