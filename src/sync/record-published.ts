/** After an epoch: the folder's changes are the last synced tree, and where others' changes put something else, it is unsettled. */
import type { FileId } from "../base/ids.ts";
import type { BaseChange, NewBase, PublishedObjects } from "../bucket/change-set.ts";
import { readObject } from "../bucket/fs-reader.ts";
import type { Place } from "../bucket/object-rows.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { SyncDatabase } from "./database.ts";
import type { LocalChanges } from "./local-changes.ts";
import type { LocalObject, Matching } from "./match.ts";

/** In a transaction of the caller's. `published` is absent where nothing was: then only looks are remembered. */
export function recordPublished(
  db: SyncDatabase,
  matching: Matching,
  local: LocalChanges,
  published: PublishedObjects | undefined,
): void {
  const now = new Map(published ?? []);
  /** Directories that the merge united with one that is known at another place: what is on the disk is united when that comes here. */
  const folded = new Set<LocalObject>();
  const idOf = (object: LocalObject): FileId | undefined => now.get(object.ino)?.id ?? object.id;
  if (published !== undefined) {
    for (const { object } of local.changes) {
      const kept = new Set(object.kept.map(({ parent, name }) => `${parent}${name}`));
      for (const entry of object.entries) if (!kept.has(`${entry.parent}${entry.name}`)) db.remove(entry);
    }
    for (const { object } of local.changes) {
      const { id, record } = now.get(object.ino) ?? {};
      if (id === undefined || id === object.id) continue;
      if (record?.type === "directory" && db.byId(id).length > 0) folded.add(object);
      if (object.id !== undefined) db.succeed(object.id, id);
      if (folded.has(object)) for (const entry of object.entries) db.remove(entry);
    }
  }
  for (const { object, found, entry, seen } of local.observed) {
    const directory = found.parent === undefined ? undefined : matching.objectOf.get(found.parent);
    const [id, parent] = [idOf(object), directory === undefined ? undefined : idOf(directory)];
    const record = now.get(object.ino)?.record ?? entry?.record;
    if (id === undefined || parent === undefined || record === undefined) continue;
    const place = { parent, name: found.name };
    if (folded.has(object)) {
      db.unsettle(place);
      continue;
    }
    const there = db.at(place);
    if (directory !== undefined && folded.has(directory) && there !== undefined && there.id !== id) continue;
    // A name that is new and was not published now is looked at again.
    if (published === undefined && (entry?.parent !== parent || entry.name !== found.name)) continue;
    db.put({ ...place, id, record, seen });
  }
}

/** The folder stands on this root from now on, and is behind it wherever it differs. In a transaction of the caller's. */
export async function standOn(db: SyncDatabase, nodes: NodeStore, base: NewBase): Promise<void> {
  db.setBase(base);
  if (base.changes === undefined) return db.setFact("compare all", "yes");
  for (const change of base.changes) for (const place of await placesOf(db, nodes, base, change)) db.unsettle(place);
}

/** Where a changed row can be seen. */
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
