/**
 * The end of phase 1: a directory that one side moved and the other removed survives at its new place, with the contents
 * that the deleter removed in it. Objects deleted alone, elsewhere or before the move stay deleted.
 *
 * Walks only directories that the deleter removed, so it reads only what is in the deleter's diff anyway.
 */
import type { FileId } from "../../base/ids.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import type { MergeState } from "./merge-state.ts";
import { gainedName } from "./locations.ts";
import { hasName, isDirectory, samePlaces, sortPlaces } from "./objects.ts";
import type { Role, Triple } from "./triple.ts";
import { otherRole } from "./triple.ts";

/** An object that the mover left in place, in directories that are restored with their contents. */
interface Restored {
  readonly id: FileId;
  /** Its names there. */
  readonly places: Place[];
  readonly base: TreeObject;
  readonly mover: Role;
}

/** `locate` makes the staying tree find these objects by id, wherever they are. */
export async function restoreMovedContents(
  state: MergeState,
  triples: ReadonlyMap<FileId, Triple>,
  locate: (objects: readonly TreeObject[]) => Promise<void>,
): Promise<void> {
  const entries: Restored[] = [];
  for (const [id, triple] of triples) {
    const mover = moverOf(triple);
    if (mover !== undefined) await collect(state, mover, id, entries);
  }
  await locate(entries.map(({ base }) => base));
  for (const entry of entries) await restore(state, triples.get(entry.id), entry);
}

/** The side that moved a directory which the other side removed. */
function moverOf({ base, winner, loser }: Triple): Role | undefined {
  const survivor = winner ?? loser;
  if (base === undefined || survivor === undefined || (winner !== undefined && loser !== undefined)) return undefined;
  if (!isDirectory(survivor) || samePlaces(base.names, survivor.names)) return undefined;
  return winner === undefined ? "loser" : "winner";
}

async function collect(state: MergeState, mover: Role, top: FileId, entries: Restored[]): Promise<void> {
  const deleter = state[otherRole(mover)];
  // In a damaged bucket, directories may contain one another.
  const seen = new Set([top]);
  const files = new Map<FileId, Restored>();
  const open = [top];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    for await (const { id, place } of state[mover].children(directory)) {
      const known = files.get(id);
      if (known !== undefined && hasName(known.base, place)) {
        known.places.push(place);
        continue;
      }
      const base = await state.base.at(place);
      if (base?.id !== id) continue;
      const entry = { id, places: [place], base, mover };
      if (!isDirectory(base)) {
        entries.push(entry);
        files.set(id, entry);
      } else if (!seen.has(id) && (await deleter.object(id)) === undefined) {
        entries.push(entry);
        seen.add(id);
        open.push(id);
      }
    }
  }
}

async function restore(
  state: MergeState,
  triple: Triple | undefined,
  { id, places, base, mover }: Restored,
): Promise<void> {
  const hints = [...places, ...base.names];
  const left = triple === undefined ? await state[otherRole(mover)].object(id, hints) : triple[otherRole(mover)];
  // A deleter that still has the object removed only these names, unless the object gained a name: then it was moved.
  if (left !== undefined && state.kept.get(id) !== mover && gainedName(base, left)) return;
  const removed = places.filter((place) => !hasName(left, place));
  if (removed.length === 0) return;
  const alive = await state.merged.object(id, hints);
  if (alive !== undefined) {
    await state.merged.put(id, { ...alive, names: sortPlaces([...alive.names, ...removed]) }, hints);
    return;
  }
  const object = triple === undefined ? await state[mover].object(id, hints) : triple[mover];
  if (object !== undefined) await state.merged.put(id, { ...object, names: sortPlaces(removed) }, hints);
}
