/**
 * Gives ids to new objects of an epoch, parents first, by their final places (docs/design/merge.md, Identity).
 *
 * (0) An object renamed over a deleted file takes that file's id, wherever the object is now.
 * (1) If the base had an object of that type, with one name, at exactly that place and it is gone: its id.
 * (2) Else the birth id of the place with the smallest generation that no object of the base or the new tree has.
 * A directory made where others have made one since is the same directory: both would get the same id.
 */
import { SynclineError } from "../../base/errors.ts";
import { type Cid, type FileId, type Ino, ROOT_ID } from "../../base/ids.ts";
import { birthId, KIND_BACKREF, KIND_SELF, kindRange } from "../../format/files/keys.ts";
import type { FileType } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { peekRange } from "../../tree/read.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { whenLoaded } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import { keptState } from "./kept-rows.ts";
import { comparePlaces, namesAdded, type Occupants } from "./occupants.ts";
import type { ObjectState } from "./transition.ts";

/** The final places of an existing object, its id, and the base's object that it replaces. */
export interface Identity {
  readonly id: FileId;
  /** Sorted. */
  readonly names: readonly Place[];
  /** The base's object with this id: itself, the replaced one, or a directory that others made. */
  readonly before: ObjectState | undefined;
}

export interface Identities {
  readonly byIno: ReadonlyMap<Ino, Identity>;
  /** Ids that new objects took from objects that this epoch deletes. */
  readonly replaced: ReadonlySet<FileId>;
}

/** Whether the object has a place in the new tree. */
export function survives(object: ChangedObject): boolean {
  return object.names.length > 0 || (object.id === ROOT_ID && object.record !== undefined);
}

/** Rule (1): whether a new object of this type takes the id of the object that is gone from its place. */
export function takesOver(type: FileType | undefined, gone: Pick<ObjectState, "type" | "names">): boolean {
  return gone.type === type && gone.names.length === 1;
}

/** `tree` holds the kept rows. Others' objects at names that the epoch takes go to `occupants`, which reads the same tree. */
export async function giveIdentities(
  nodes: NodeStore,
  tree: Cid,
  changes: ChangeSet,
  occupants: Occupants,
): Promise<Identities> {
  const deleted = new Map<FileId, ObjectState>();
  for (const object of changes.objects) {
    const kept = keptState(object);
    if (kept !== undefined && !survives(object)) deleted.set(kept.id, kept);
  }
  const byIno = new Map<Ino, Identity>();
  const claims = claimsOf(changes, deleted);
  for (const { id } of claims.values()) deleted.delete(id);
  const replaced = new Set<FileId>(Array.from(claims.values(), ({ id }) => id));
  const given = new Set<FileId>();
  const directories = new Set(changes.directories.values());
  for (const object of parentsFirst(changes)) {
    const names = object.names.map(({ parent, name }) => ({ parent: parentId(parent), name })).sort(comparePlaces);
    const identity = await (object.id === undefined ? born(object, names) : known(object, object.id, names));
    byIno.set(object.ino, identity);
  }
  return { byIno, replaced };

  function parentId(parent: Ino): FileId {
    const id = byIno.get(parent)?.id ?? changes.directories.get(parent);
    if (id === undefined) throw new SynclineError("internal", `Inode ${parent} has entries but is not a directory.`);
    return id;
  }

  async function known(object: ChangedObject, id: FileId, names: readonly Place[]): Promise<Identity> {
    await clear(namesAdded(object.baseNames, names));
    return { id, names, before: keptState(object) };
  }

  async function born(object: ChangedObject, names: readonly Place[]): Promise<Identity> {
    const type = typeOf(object);
    const [place] = names;
    if (place === undefined) throw new SynclineError("internal", `Inode ${object.ino} was created without a name.`);
    const claim = claims.get(object.ino);
    if (claim !== undefined) {
      await clear(namesAdded(claim.names, names));
      return { id: claim.id, names, before: claim };
    }
    const here = await occupants.idAt(place);
    const heir = here === undefined || names.length > 1 ? undefined : await inherited(here, type, place);
    if (heir !== undefined) return { id: heir.id, names, before: heir };
    if (here !== undefined || names.length > 1) await clear(names);
    const id = await birth(here, type, place);
    given.add(id);
    return { id, names, before: undefined };
  }

  async function inherited(here: FileId, type: FileType, place: Place): Promise<ObjectState | undefined> {
    const gone = deleted.get(here);
    if (gone !== undefined && takesOver(type, gone)) {
      replaced.add(gone.id);
      return gone;
    }
    const stranger = type === "directory" ? await occupants.strangerAt(place) : undefined;
    if (stranger?.type !== "directory") return undefined;
    // A directory that the epoch knows at another place is a different one here: the merge combines the two.
    return directories.has(stranger.id) ? undefined : stranger;
  }

  async function clear(places: readonly Place[]): Promise<void> {
    for (const place of places) {
      const stranger = await occupants.strangerAt(place);
      if (stranger !== undefined) await occupants.evict(stranger, place);
    }
  }

  async function birth(here: FileId | undefined, type: FileType, place: Place): Promise<FileId> {
    for (let generation = 0; ; generation++) {
      const id = birthId(place.parent, place.name, type, generation);
      if (given.has(id)) continue;
      if (occupants.isGone(id)) return id;
      if (id !== here && !(await hasRows(nodes, tree, id))) return id;
    }
  }
}

/** The objects that new ones were renamed over. If two replaced one (no overlay reports that), the first gets it. */
function claimsOf(changes: ChangeSet, deleted: ReadonlyMap<FileId, ObjectState>): Map<Ino, ObjectState> {
  const ids = new Map(changes.objects.map(({ ino, id }) => [ino, id]));
  const claims = new Map<Ino, ObjectState>();
  const claimed = new Set<FileId>();
  for (const object of changes.objects) {
    if (object.replaces === undefined || object.id !== undefined || !survives(object)) continue;
    const gone = deleted.get(ids.get(object.replaces) ?? ("" as FileId));
    if (gone === undefined || gone.type !== object.record?.type || claimed.has(gone.id)) continue;
    claimed.add(gone.id);
    claims.set(object.ino, gone);
  }
  return claims;
}

/** Whether an object has 00 or 02 rows of its own. Without, it is a file at its birth place. */
function hasRows(nodes: NodeStore, tree: Cid, id: FileId): Promise<boolean> {
  const { from } = kindRange(id, KIND_SELF);
  const { to } = kindRange(id, KIND_BACKREF);
  return whenLoaded(nodes, () => peekRange(nodes, tree, from, to, 1).length > 0);
}

function typeOf(object: ChangedObject): FileType {
  if (object.record === undefined) throw new SynclineError("internal", `Inode ${object.ino} has a name but no record.`);
  return object.record.type;
}

/** The epoch's objects that have a place, each after its parent directories. Throws `internal` for a cycle. */
export function parentsFirst(changes: ChangeSet): ChangedObject[] {
  const living = new Map(changes.objects.filter(survives).map((object) => [object.ino, object]));
  const depths = new Map<Ino, number>();
  const depthOf = (object: ChangedObject) => {
    return 1 + Math.max(0, ...object.names.map(({ parent }) => directoryDepth(parent, living, depths)));
  };
  return [...living.values()]
    .map((object) => ({ object, depth: depthOf(object) }))
    .sort((a, b) => a.depth - b.depth)
    .map(({ object }) => object);
}

/** How many of the epoch's own directories lie above a directory, itself included. */
function directoryDepth(ino: Ino, living: ReadonlyMap<Ino, ChangedObject>, depths: Map<Ino, number>): number {
  const chain: Ino[] = [];
  let at: Ino | undefined = ino;
  while (at !== undefined && living.has(at) && !depths.has(at)) {
    chain.push(at);
    if (chain.length > living.size) throw new SynclineError("internal", "Directories of one epoch form a cycle.");
    at = living.get(at)?.names[0]?.parent;
  }
  let depth = at === undefined ? 0 : (depths.get(at) ?? 0);
  for (const link of chain.reverse()) depths.set(link, ++depth);
  return depths.get(ino) ?? 0;
}
