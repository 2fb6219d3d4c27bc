/**
 * Directories that an epoch deletes although others put something into them after its objects became dirty. They stay, with
 * those above them (docs/design/merge.md: rmdir / new child, the directory and its ancestors come back).
 */
import type { Cid, FileId } from "../../base/ids.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangeSet } from "../change-set.ts";
import { listDirectory } from "../fs-reader.ts";
import { type Place, placeText } from "../object-rows.ts";
import { FreePlaces } from "./free-places.ts";
import { type Identities, survives } from "./identities.ts";
import { keptState } from "./kept-rows.ts";
import type { ObjectState } from "./transition.ts";

/**
 * By id, each with its new place: the old one, or one beside it if the epoch gave the name to another object. What others
 * have beside it stays, too.
 */
export async function findKeptNonEmpty(
  nodes: NodeStore,
  mergeBase: Cid,
  changes: ChangeSet,
  identities: Identities,
): Promise<ReadonlyMap<FileId, ObjectState>> {
  const deleted = new Map<FileId, ObjectState>();
  for (const object of changes.objects) {
    const kept = keptState(object);
    if (kept?.type !== "directory" || survives(object) || identities.replaced.has(kept.id)) continue;
    deleted.set(kept.id, kept);
  }
  const nonEmpty = new Map<FileId, ObjectState>();
  if (deleted.size === 0) return nonEmpty;
  const left = placesLeft(changes);
  const places = new FreePlaces(nodes, mergeBase, placesTaken(identities));
  for (const state of deleted.values()) {
    if (!(await holdsStrangers(nodes, mergeBase, state.id, left))) continue;
    await restoreUpwards(state);
  }
  return nonEmpty;

  async function restoreUpwards(from: ObjectState): Promise<void> {
    let state: ObjectState | undefined = from;
    while (state !== undefined && !nonEmpty.has(state.id)) {
      const place: Place | undefined = state.names[0];
      if (place === undefined) return;
      const free = await places.atOrBeside(place, state.id);
      nonEmpty.set(state.id, { ...state, names: [free] });
      state = deleted.get(place.parent);
    }
  }
}

/** The former names of the epoch's objects. */
function placesLeft(changes: ChangeSet): ReadonlySet<string> {
  return new Set(changes.objects.flatMap((object) => object.baseNames.map(placeText)));
}

function placesTaken(identities: Identities): Set<string> {
  return new Set([...identities.byIno.values()].flatMap(({ names }) => names.map(placeText)));
}

async function holdsStrangers(
  nodes: NodeStore,
  tree: Cid,
  directory: FileId,
  left: ReadonlySet<string>,
): Promise<boolean> {
  for await (const { name } of listDirectory(nodes, tree, directory)) {
    if (!left.has(placeText({ parent: directory, name }))) return true;
  }
  return false;
}
