/** One changed object in all three trees: what phase 1 merges. */
import type { FileId } from "../../base/ids.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import type { Changes, ObjectChange } from "./changes.ts";
import { knowsBirthPlace } from "./moved-back.ts";
import { isDirectory, sortPlaces } from "./objects.ts";
import type { Snapshot } from "./snapshot.ts";

export type Role = "winner" | "loser";

export interface Triple {
  readonly base: TreeObject | undefined;
  readonly winner: TreeObject | undefined;
  readonly loser: TreeObject | undefined;
}

/** Objects whose rows are read ahead together. */
const BATCH = 256;

export function otherRole(role: Role): Role {
  return role === "winner" ? "loser" : "winner";
}

/** The objects that may concern both sides, by id. */
export interface Triples {
  readonly all: Map<FileId, Triple>;
  /** Files that the staying side has as the base has them: the changed side's version is the merged one. */
  readonly alone: ReadonlySet<Triple>;
}

/**
 * The objects that one side changed, each with the staying side's version. `findHome` makes the staying tree find those of
 * these files that moved back to their birth places there (moved-back.ts), and returns them.
 */
export async function gatherTriples(
  changes: Changes,
  trees: Readonly<Record<Role | "base", Snapshot>>,
  changedRole: Role,
  findHome: (sought: ReadonlySet<FileId>) => Promise<ReadonlyMap<FileId, unknown>>,
): Promise<Triples> {
  const staying = trees[otherRole(changedRole)];
  const all = new Map<FileId, Triple>();
  const alone = new Set<Triple>();
  const sought = new Set<FileId>();
  for await (const batch of changes.objects(trees.base, trees[changedRole], BATCH)) {
    const [known, unknown] = partition(batch, ([, change]) => change.alone && change.base !== undefined);
    for (const [id, { base, side }] of known) {
      const triple = tripleOf(base, side, base, changedRole);
      all.set(id, triple);
      alone.add(triple);
    }
    await readAhead(staying, unknown);
    for (const [id, change] of unknown) {
      const object = change.base ?? change.side;
      const places = placesOf(change);
      const other = await staying.object(id, places);
      const triple = tripleOf(change.base, change.side, other, changedRole);
      all.set(id, triple);
      if (other !== undefined || object === undefined || isDirectory(object)) continue;
      if (!knowsBirthPlace(object, places)) sought.add(id);
      else if (change.alone) alone.add(triple);
    }
  }
  for (const id of (await findHome(sought)).keys()) {
    const triple = all.get(id);
    const other = await staying.object(id);
    all.set(id, tripleOf(triple?.base, triple?.[changedRole], other, changedRole));
  }
  return { all, alone };
}

/** Reads the staying side's rows of these objects, and of their directories where those may be gone there. */
async function readAhead(staying: Snapshot, changes: readonly (readonly [FileId, ObjectChange])[]): Promise<void> {
  const places = changes.flatMap(([, change]) => (change.alone ? [] : placesOf(change)));
  const parents = new Set(changes.flatMap(([, change]) => placesOf(change).map(({ parent }) => parent)));
  await staying.load({ places, directories: parents, objects: changes.map(([id]) => id) });
}

function placesOf({ base, side }: ObjectChange): Place[] {
  return sortPlaces([...(base?.names ?? []), ...(side?.names ?? [])]);
}

function partition<Item>(items: readonly Item[], holds: (item: Item) => boolean): [yes: Item[], no: Item[]] {
  return [items.filter(holds), items.filter((item) => !holds(item))];
}

export function tripleOf(
  base: TreeObject | undefined,
  changed: TreeObject | undefined,
  staying: TreeObject | undefined,
  changedRole: Role,
): Triple {
  return changedRole === "winner"
    ? { base, winner: changed, loser: staying }
    : { base, winner: staying, loser: changed };
}
