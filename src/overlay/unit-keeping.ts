/**
 * Units that others changed while something of them changed here, of which the epoch that is settled has nothing (docs/merge.md, Units):
 * they stay as they were seen here, as changed objects, until the next epoch is merged. Then both sides changed the unit.
 */
import type { FileId, Ino } from "../base/ids.ts";
import type { ChangedUnit, ForeignObject } from "../bucket/change-set.ts";
import type { FileRecord } from "../format/record.ts";
import type { DirtyObject, Link } from "./dirty-object.ts";
import { placeOf } from "./dirty-units.ts";
import type { FollowedObject } from "./journal-record.ts";
import type { Numbers } from "./numbers.ts";
import type { OverlayState } from "./state.ts";

export function keepingOf(
  state: OverlayState,
  units: readonly ChangedUnit[],
  numbers: Numbers,
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
  for (const { unit, before, added } of units) {
    if (!isChangedHere(state, unit, numbers)) continue;
    for (const object of before) keep(object, object.record, false);
    for (const object of added) if (object.record.type === "file") keep(object, neverSeen(object.record), true);
  }
  return { objects, names };
}

/**
 * What is new there was not in the unit that was seen here: to it, it is as if somebody had removed it. The base has other bytes of it, so that for a
 * merge others changed it: then it is never lost.
 */
function neverSeen(record: FileRecord): FileRecord {
  if (record.size > 0) return { ...record, size: 0, content: { kind: "empty" } };
  return { ...record, size: 1, content: { kind: "inline", bytes: Buffer.of(0) } };
}

function isChangedHere(state: OverlayState, unit: ChangedUnit["unit"], numbers: Numbers): boolean {
  const directory = numbers.of(unit.kind === "tree" ? unit.root : unit.parent);
  if (directory === undefined) return false;
  const isPart = ({ ino, links, baseNames }: DirtyObject) => {
    if (unit.kind === "tree")
      return isWithin(state, ino, directory) || links.some(({ parent }) => isWithin(state, parent, directory));
    return (
      links.some(({ parent, name }) => parent === directory && unit.names.includes(name)) ||
      baseNames.some(({ parent, name }) => parent === unit.parent && unit.names.includes(name))
    );
  };
  for (const object of numbers.live()) if (isPart(object)) return true;
  return false;
}

/** As far as inode rows tell where unchanged directories are. */
function isWithin(state: OverlayState, ino: Ino, directory: Ino): boolean {
  const seen = new Set<Ino>();
  for (let at: Ino | undefined = ino; at !== undefined && !seen.has(at); at = placeOf(state, at)?.parent) {
    if (at === directory) return true;
    seen.add(at);
  }
  return false;
}
