/**
 * Directories of one epoch that contain one another: they were moved while different roots were the base, or became another
 * directory meanwhile. One directory of each cycle has to leave it.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import type { Place } from "../object-rows.ts";
import { survives } from "./identities.ts";

export interface EpochCycle {
  readonly object: ChangedObject;
  /** The place that the directory has to leave. */
  readonly place: Place;
}

/** One directory of each cycle, among former and current places. `ids` are those of directories. */
export function epochCycles(changes: ChangeSet, ids: ReadonlyMap<Ino, FileId>): EpochCycle[] {
  const directories = changes.objects.filter(({ base, record }) => (record ?? base)?.type === "directory");
  const byId = new Map(
    directories.flatMap((object) => (object.id === undefined ? [] : [[object.id, object] as const])),
  );
  const byIno = new Map(directories.map((object) => [object.ino, object]));
  const before = (object: ChangedObject) => {
    const [place] = object.baseNames;
    return place && { place, parent: byId.get(place.parent) };
  };
  const now = (object: ChangedObject) => {
    const [name] = survives(object) ? object.names : [];
    const parent = name && ids.get(name.parent);
    return name && parent && { place: { parent, name: name.name }, parent: byIno.get(name.parent) };
  };
  return [...cycles(directories, before), ...cycles(directories, now)];
}

type Above = (
  object: ChangedObject,
) => { readonly place: Place; readonly parent: ChangedObject | undefined } | undefined;

function cycles(directories: readonly ChangedObject[], above: Above): EpochCycle[] {
  const found: EpochCycle[] = [];
  const done = new Set<ChangedObject>();
  for (const start of directories) {
    const path = new Set<ChangedObject>();
    let at: ChangedObject | undefined = start;
    while (at !== undefined && !done.has(at) && !path.has(at)) {
      path.add(at);
      at = above(at)?.parent;
    }
    const place = at === undefined || !path.has(at) ? undefined : above(at)?.place;
    if (at !== undefined && place !== undefined) found.push({ object: at, place });
    for (const passed of path) done.add(passed);
  }
  return found;
}
