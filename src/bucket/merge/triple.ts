/** One changed object in all three trees: what phase 1 merges. */
import { batches } from "../../base/collections.ts";
import type { FileId } from "../../base/ids.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import type { Changes, ObjectChange } from "./changes.ts";
import { knowsBirthPlace } from "./homecomers.ts";
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

/**
 * The objects that one side changed, each with what the staying side made of it. `findHome` makes the staying tree find
 * those of these files that are back at their birth places there (homecomers.ts), and answers which they are.
 */
export async function gatherTriples(
  changes: Changes,
  trees: Readonly<Record<Role | "base", Snapshot>>,
  changedRole: Role,
  findHome: (sought: ReadonlySet<FileId>) => Promise<ReadonlyMap<FileId, unknown>>,
): Promise<Map<FileId, Triple>> {
  const staying = trees[otherRole(changedRole)];
  const triples = new Map<FileId, Triple>();
  const sought = new Set<FileId>();
  for await (const batch of batches(changes.objects(trees.base, trees[changedRole]), BATCH)) {
    const all = batch.flatMap(([, change]) => placesOf(change));
    const parents = new Set(all.map(({ parent }) => parent));
    // Whether they are in units is asked of the base (contested-units.ts), whether they still have parents of the other.
    await staying.load(all, parents);
    await trees.base.load([], parents);
    for (const [id, change] of batch) {
      const known = change.base ?? change.side;
      const places = placesOf(change);
      const other = await staying.object(id, places);
      triples.set(id, tripleOf(change.base, change.side, other, changedRole));
      if (other === undefined && known !== undefined && !isDirectory(known) && !knowsBirthPlace(known, places))
        sought.add(id);
    }
  }
  for (const id of (await findHome(sought)).keys()) {
    const triple = triples.get(id);
    const other = await staying.object(id);
    triples.set(id, tripleOf(triple?.base, triple?.[changedRole], other, changedRole));
  }
  return triples;
}

function placesOf({ base, side }: ObjectChange): Place[] {
  return sortPlaces([...(base?.names ?? []), ...(side?.names ?? [])]);
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
