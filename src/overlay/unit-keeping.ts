/**
 * Handles units that both sides changed, where the epoch being settled has none of the changes (docs/design/merge.md,
 * Units). The unit stays as it was seen here, as changed objects, until the next epoch is merged. Then both sides changed
 * the unit.
 */
import type { FileId, Ino } from "../base/ids.ts";
import type { ChangedUnit, ForeignObject } from "../fstree/change-set.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { Link } from "./links.ts";
import { placeOf } from "./dirty-units.ts";
import type { FollowedObject } from "./journal/journal-record.ts";
import type { InodeNumbers } from "./inode-numbers.ts";
import type { OverlayState } from "./state.ts";

export function keepingOf(
  state: OverlayState,
  units: readonly ChangedUnit[],
  numbers: InodeNumbers,
): { readonly objects: readonly FollowedObject[]; readonly names: readonly Link[] } {
  const objects: FollowedObject[] = [];
  const names: Link[] = [];
  const seen = new Set<FileId>();
  const keep = (object: ForeignObject, record: FileRecord, hidden: boolean) => {
    const { id, names: places } = object;
    const [place] = places;
    if (seen.has(id) || place === undefined || state.dirtyWithId(id) !== undefined) return;
    seen.add(id);
    const ino = numbers.given(id, record.type, place);
    const parents = places.map(({ parent }) => numbers.given(parent));
    for (const [index, { name }] of places.entries()) {
      const parent = parents[index];
      if (parent !== undefined) names.push({ parent, name });
    }
    const kept = { ino, id, record, baseNames: places, parents };
    objects.push({
      ino,
      row: { ino, id, type: record.type, ...place },
      base: undefined,
      links: undefined,
      kept,
      hidden,
    });
  };
  const here = units.length === 0 ? undefined : new ChangedPlaces(state, numbers);
  for (const { unit, before, added } of units) {
    if (here?.isIn(unit) !== true) continue;
    for (const object of before) keep(object, object.record, false);
    for (const object of added) if (object.record.type === "file") keep(object, neverSeen(object.record), true);
  }
  return { objects, names };
}

/**
 * New objects of others, not seen in this unit here, would otherwise read as removed here. Their base gets other bytes: a
 * merge then treats them as changed by others, and never deletes them.
 */
export function neverSeen(record: FileRecord): FileRecord {
  if (record.size > 0) return { ...record, size: 0, content: { kind: "empty" } };
  return { ...record, size: 1, content: { kind: "inline", bytes: Buffer.of(0) } };
}

/** Whether a place holds unpublished changes. Computed once: a policy may have many units, and an epoch many objects. */
class ChangedPlaces {
  readonly #numbers: InodeNumbers;
  /** Changed objects, and all directories above them. */
  readonly #above = new Set<Ino>();
  readonly #names = new Set<string>();
  readonly #baseNames = new Set<string>();

  constructor(state: OverlayState, numbers: InodeNumbers) {
    this.#numbers = numbers;
    for (const { ino, links, baseNames } of numbers.live()) {
      this.#noteAbove(state, ino);
      for (const { parent, name } of links) {
        this.#noteAbove(state, parent);
        this.#names.add(`${parent}/${name}`);
      }
      for (const { parent, name } of baseNames) this.#baseNames.add(`${parent}/${name}`);
    }
  }

  isIn(unit: ChangedUnit["unit"]): boolean {
    const directory = this.#numbers.of(unit.kind === "tree" ? unit.root : unit.parent);
    if (directory === undefined) return false;
    if (unit.kind === "tree") return this.#above.has(directory);
    return unit.names.some(
      (name) => this.#names.has(`${directory}/${name}`) || this.#baseNames.has(`${unit.parent}/${name}`),
    );
  }

  /** As far as inode rows tell where unchanged directories are. */
  #noteAbove(state: OverlayState, ino: Ino): void {
    for (let at: Ino | undefined = ino; at !== undefined && !this.#above.has(at); at = placeOf(state, at)?.parent)
      this.#above.add(at);
  }
}
