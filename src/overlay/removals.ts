/**
 * Removals that can be published without the other changes: of objects that the base has and that nothing else depends on.
 * To others it looks as if they had been made first. These wait with the rest:
 *
 * - what another object was renamed over, or whose name another one has now: others would see neither
 * - all in a directory whose name another object has now
 * - directories from which something was moved
 * - parts of units, which stay whole
 */
import { type FileId, type Ino, ROOT_ID } from "../base/ids.ts";
import type { Units } from "../format/commits/policy.ts";
import { UnitRules } from "../fstree/merge/units/unit-rules.ts";
import { type BaseName, type DirtyObject, isUnlinked } from "./dirty-object.ts";
import type { OverlayState } from "./state.ts";

/** Their numbers are in one record of the journal. */
const REMOVALS_PER_EPOCH = 16_384;

/** At most `most`; a directory only with, or after, all that has a name in it. */
export function removalsOf(state: OverlayState, units: Units, most = REMOVALS_PER_EPOCH): Ino[] {
  const removed = removedAlone(state, units);
  if (removed.size > 0) keepUsedDirectories(state, removed);
  if (removed.size <= most) return Array.from(removed.values(), ({ ino }) => ino);
  const parents = new Set<FileId | undefined>();
  for (const { baseNames } of removed.values()) for (const { parent } of baseNames) parents.add(parent);
  const leaves = [...removed.values()].filter(({ id }) => !parents.has(id));
  return leaves.slice(0, most).map(({ ino }) => ino);
}

function removedAlone(state: OverlayState, units: Units): Map<FileId, DirtyObject> {
  const replaced = new Set<Ino | undefined>();
  for (const { replaces } of state.objects()) replaced.add(replaces);
  const places = new Places(state, units);
  const removed = new Map<FileId, DirtyObject>();
  for (const object of state.objects()) {
    const { id, ino, baseNames } = object;
    if (id === undefined || !isUnlinked(object) || baseNames.length === 0 || replaced.has(ino)) continue;
    if (!places.areBound(object)) removed.set(id, object);
  }
  return removed;
}

/** Leaves out directories that hold something in the base which is not removed. */
function keepUsedDirectories(state: OverlayState, removed: Map<FileId, DirtyObject>): void {
  const keep = ({ baseNames }: DirtyObject) => {
    for (const { parent } of baseNames) {
      const directory = removed.get(parent);
      if (directory === undefined) continue;
      removed.delete(parent);
      keep(directory);
    }
  };
  for (const object of state.objects()) if (object.id === undefined || !removed.has(object.id)) keep(object);
}

/** Where the base has objects. Inode rows tell where unchanged directories are. */
class Places {
  readonly #state: OverlayState;
  readonly #rules: UnitRules;
  /** By directory. */
  readonly #bound = new Map<FileId, boolean>([[ROOT_ID, false]]);

  constructor(state: OverlayState, units: Units) {
    this.#state = state;
    this.#rules = new UnitRules(units);
  }

  /** Whether the object belongs to a unit, or other changes replace it or a directory above it. */
  areBound(object: DirtyObject): boolean {
    return object.baseNames.some((place) => this.#isBoundAt(object, place));
  }

  #isBoundAt({ ino, id, type }: Pick<DirtyObject, "ino" | "id" | "type">, place: BaseName): boolean {
    if (this.#rules.mainsOf(place.name).length > 0 || this.#isTaken(ino, place)) return true;
    return type === "directory" && id !== undefined ? this.#isBoundIn(id) : this.#isBoundIn(place.parent);
  }

  #isBoundIn(directory: FileId): boolean {
    const known = this.#bound.get(directory);
    if (known !== undefined) return known;
    // A bucket may have cycles.
    this.#bound.set(directory, true);
    const dirty = this.#state.dirtyWithId(directory);
    const [place] = dirty?.baseNames ?? [this.#state.inodes.find(directory)];
    const isBound =
      place === undefined ||
      this.#rules.isTree(place.name) ||
      (dirty !== undefined && this.#isTaken(dirty.ino, place)) ||
      this.#isBoundIn(place.parent);
    this.#bound.set(directory, isBound);
    return isBound;
  }

  /** Whether another changed object has the name now. */
  #isTaken(ino: Ino, place: BaseName): boolean {
    return this.#state.linksOf([place]).some(({ parent, name }) => {
      const now = this.#state.entry(parent, name);
      return now !== undefined && now !== ino;
    });
  }
}
