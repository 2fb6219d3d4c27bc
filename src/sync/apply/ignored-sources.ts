/**
 * What is at an ignored path is never moved or linked to another one: it may hold what was never meant to be published. An
 * object that others moved away from there, or linked elsewhere, comes from the bucket.
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { lookup, readObject } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { isOwn, PARKED_ID } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { PASSING } from "../known/unsettled.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";

interface Ruled {
  readonly db: SyncDatabase;
  readonly rules: IgnoreRules;
}

interface Behind extends Ruled {
  readonly nodes: NodeStore;
  readonly tree: Cid;
  /** Whether to look again at what only a person can settle. */
  readonly again: boolean;
}

/** An object's names in the folder that it may be moved or linked from, the newest row first. Write nothing meanwhile. */
export function* sourcesOf({ db, rules }: Ruled, id: FileId): Generator<Entry> {
  for (const entry of db.anyById(id)) if (!isIgnored({ db, rules }, entry)) yield entry;
}

/**
 * Forgets objects at ignored paths that others moved away, or replaced by something that is not ignored, such as a file where
 * the rule is for directories. What is on the disk stays there, unknown to the database. Call before the plan, in its
 * transaction.
 */
export async function forgetMovedAway({ db, rules, nodes, tree, again }: Behind): Promise<void> {
  if (db.isEmpty()) return;
  for (const place of db.unsettled()) {
    const entry = place.parent === PARKED_ID ? undefined : db.at(place);
    if (entry === undefined || !(again || PASSING.has(place.reason) || entry.record.type === "directory")) continue;
    if (!isIgnored({ db, rules }, entry)) continue;
    const target = await lookup(nodes, tree, place);
    if (target?.id === entry.id) continue;
    const isReplaced = target !== undefined && !isIgnored({ db, rules }, { ...place, record: target.record });
    if (isReplaced || (await readObject(nodes, tree, entry.id)) !== undefined) forget(db, entry);
  }
}

function isIgnored({ db, rules }: Ruled, entry: Place & Pick<Entry, "record">): boolean {
  const path = pathInFolder(db, entry);
  return path !== undefined && !isOwn(path) && rules.ignores(path, entry.record.type === "directory");
}

function forget(db: SyncDatabase, entry: Entry): void {
  if (entry.record.type === "directory") {
    for (const child of db.children(entry.id)) forget(db, child);
    db.setFact("compare all", "yes");
  }
  db.remove(entry);
}
