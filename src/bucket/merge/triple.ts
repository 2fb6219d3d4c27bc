/** One changed object in all three trees: what phase 1 merges. */
import type { FileId } from "../../base/ids.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Changes } from "./changes.ts";
import { knowsBirthPlace } from "./homecomers.ts";
import { isDirectory } from "./objects.ts";
import type { Snapshot } from "./snapshot.ts";

export type Role = "winner" | "loser";

export interface Triple {
  readonly base: TreeObject | undefined;
  readonly winner: TreeObject | undefined;
  readonly loser: TreeObject | undefined;
}

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
  for await (const [id, change] of changes.objects(trees.base, trees[changedRole])) {
    const known = change.base ?? change.side;
    const places = [...(change.base?.names ?? []), ...(change.side?.names ?? [])];
    const other = await staying.object(id, places);
    triples.set(id, tripleOf(change.base, change.side, other, changedRole));
    if (other === undefined && known !== undefined && !isDirectory(known) && !knowsBirthPlace(known, places))
      sought.add(id);
  }
  for (const id of (await findHome(sought)).keys()) {
    const triple = triples.get(id);
    const other = await staying.object(id);
    triples.set(id, tripleOf(triple?.base, triple?.[changedRole], other, changedRole));
  }
  return triples;
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
