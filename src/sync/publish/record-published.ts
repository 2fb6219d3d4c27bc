/**
 * After an epoch: records the folder's changes as the last synced tree, and unsettles places where others' changes differ.
 */
import { ROOT_ID, type FileId, type Ino } from "../../base/ids.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { BaseChange, NewBase, PublishedObject, PublishedObjects } from "../../fstree/change-set.ts";
import { peekDirectory, readObject, whenLoaded } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { placeText } from "../../fstree/object-rows.ts";
import type { FileType } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import type { LocalObject, Matching } from "../scan/matching.ts";
import type { Found } from "../scan/walk.ts";

/** The result of an epoch. */
export interface Recorded {
  readonly objects: PublishedObjects;
  /** An id that no tree has. */
  readonly standIn: (place: Place, type: FileType) => FileId;
}

/**
 * Runs in the caller's transaction. Without `published`, only records how things look. Answers what the folder then has
 * differently from the bucket.
 */
export function recordPublished(
  db: SyncDatabase,
  matching: Matching,
  local: LocalChanges,
  published: Recorded | undefined,
): Found[] {
  const otherwise: Found[] = [];
  const now = new Map(published?.objects ?? []);
  // An epoch also includes what is behind in its units (behind-units.ts): that stays recorded as it was shown.
  const changed = new Set(local.changes.map(({ object }) => object));
  const ids = published === undefined ? new Ids(matching) : renewed(db, matching, local, now, published.standIn);
  for (const { object, found, entry, seen, isBehind } of local.observed) {
    const directory = found.parent === undefined ? undefined : matching.objectOf.get(found.parent);
    const [id, parent] = [ids.of(object), directory === undefined ? undefined : ids.of(directory)];
    const isPublished = !isBehind && changed.has(object);
    const record = (isPublished ? now.get(object.ino)?.record : undefined) ?? entry?.record;
    if (id === undefined || directory === undefined || parent === undefined || record === undefined) {
      otherwise.push(found);
      continue;
    }
    const place = { parent, name: found.name };
    // A new name that was not published now is looked at again.
    if (published === undefined && (entry?.parent !== parent || entry.name !== found.name)) continue;
    db.put({ ...place, id, record, seen });
    if (isBehind) db.unsettle(place);
    if (!ids.isMergedAway(object) && !ids.isMergedAway(directory)) continue;
    // The tree has it at the other object's place, or not at all.
    otherwise.push(found);
    db.unsettle(place);
    for (const there of now.get(object.ino)?.names ?? []) db.unsettle(there);
  }
  return otherwise;
}

/** The ids under which the epoch's objects are known from now on. */
function renewed(
  db: SyncDatabase,
  matching: Matching,
  { changes }: LocalChanges,
  now: ReadonlyMap<Ino, PublishedObject>,
  standIn: Recorded["standIn"],
): Ids {
  for (const { object } of changes) {
    const kept = new Set(object.kept.map(placeText));
    for (const entry of object.entries) {
      if (!kept.has(placeText(entry))) db.remove(entry);
      // Out of sight, it may be a separate file that did not change.
      else db.unsettle(entry);
    }
  }
  const ids = new Ids(matching, standIn);
  const taken = new Set(changes.flatMap(({ object: { id, ino } }) => (now.get(ino)?.id === id ? [id] : [])));
  for (const { object } of changes) {
    const id = now.get(object.ino)?.id;
    if (id === undefined || id === object.id) continue;
    if (taken.has(id) || db.byId(id).length > 0) {
      ids.mergeAway(object);
      continue;
    }
    taken.add(id);
    if (object.id !== undefined) succeed(db, object.id, id);
    ids.set(object, id);
  }
  return ids;
}

/**
 * Gives what is on the disk, with all in it, the id `after`. The folder then has nothing of `before`, and may have more than
 * the epoch put into `after`: the places of both are compared with the root again.
 */
function succeed(db: SyncDatabase, before: FileId, after: FileId): void {
  for (const { name } of db.children(before)) for (const parent of [before, after]) db.unsettle({ parent, name });
  db.succeed(before, after);
}

/**
 * The ids of what is on the disk. If the merge united two objects, such as directories of one name, the folder still has
 * both. One of them gets an id that only the folder knows, as if others had removed it, until the plan has moved its
 * entries.
 */
class Ids {
  readonly #matching: Matching;
  readonly #standIn: Recorded["standIn"] | undefined;
  readonly #ids = new Map<LocalObject, FileId>();
  readonly #mergedAway = new Set<LocalObject>();

  constructor(matching: Matching, standIn?: Recorded["standIn"]) {
    this.#matching = matching;
    this.#standIn = standIn;
  }

  of(object: LocalObject): FileId | undefined {
    const known = this.#ids.get(object) ?? object.id;
    const [found] = object.found;
    if (known !== undefined || !this.isMergedAway(object) || found?.parent === undefined) return known;
    const directory = this.#matching.objectOf.get(found.parent);
    const parent = directory === undefined ? undefined : this.of(directory);
    if (parent === undefined) return undefined;
    const id = this.#standIn?.({ parent, name: found.name }, found.stat.type);
    if (id !== undefined) this.set(object, id);
    return id;
  }

  set(object: LocalObject, id: FileId): void {
    this.#ids.set(object, id);
  }

  mergeAway(object: LocalObject): void {
    this.#mergedAway.add(object);
  }

  isMergedAway(object: LocalObject): boolean {
    return this.#mergedAway.has(object);
  }
}

/** Makes this root the folder's base, and unsettles every difference. Runs in the caller's transaction. */
export async function standOn(db: SyncDatabase, nodes: NodeStore, base: NewBase): Promise<void> {
  db.setBase(base);
  if (base.changes === undefined) return db.setFact("compare all", "yes");
  for (const change of base.changes) {
    if (change.kind === "self" && change.moved) db.setFact("directory moved", "yes");
    for (const place of await placesOf(db, nodes, base, change)) db.unsettle(place);
  }
}

/** Makes the bucket's root the base of a folder that was never synced. It shows nothing of it yet: both are united. */
export async function standOnFirst(db: SyncDatabase, nodes: NodeStore, { cid, body }: VerifiedCommit): Promise<void> {
  if (db.base() !== undefined) return;
  // An empty bucket does not differ from a folder that shows nothing of it.
  const isEmpty = (await whenLoaded(nodes, () => peekDirectory(nodes, body.tree, ROOT_ID, undefined, 1))).length === 0;
  await db.transaction(() => {
    db.setBase({ commit: cid, tree: body.tree, seq: body.seq });
    if (!isEmpty) db.setFact("compare all", "yes");
  });
}

/** Where a changed row is visible. */
async function placesOf(
  db: SyncDatabase,
  nodes: NodeStore,
  { tree }: NewBase,
  change: BaseChange,
): Promise<readonly Place[]> {
  if (change.kind === "dentry") return [change];
  const object = await readObject(nodes, tree, change.id);
  return [...db.byId(change.id), ...(object?.names ?? [])];
}
