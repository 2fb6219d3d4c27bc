/** Compares all that the database knows with a tree. */
import { ROOT_ID, type Cid, type FileId } from "../../base/ids.ts";
import { listDirectory, objectOf, type TreeObject } from "../../fstree/fs-reader.ts";
import { MetDirectories } from "../../fstree/met-directories.ts";
import { placeText } from "../../fstree/object-rows.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { PARKED_ID } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";

interface Compared {
  readonly db: SyncDatabase;
  readonly nodes: NodeStore;
  readonly tree: Cid;
}

/** What the tree is known to have at some places. */
export type Targets = ReadonlyMap<string, TreeObject>;

/**
 * Marks every place where folder and tree differ as unsettled. Returns what the tree has at the first `mostTargets` of them.
 * Throws `format_invalid` for a directory that lies in itself.
 */
export async function compareAll({ db, nodes, tree }: Compared, mostTargets: number): Promise<Targets> {
  const met = new MetDirectories(ROOT_ID);
  const targets = new Map<string, TreeObject>();
  const rest: FileId[] = [ROOT_ID];
  const isFirst = db.isEmpty();
  for (let parent = rest.pop(); parent !== undefined; parent = rest.pop()) {
    const known = new Map(isFirst ? [] : db.children(parent).map((entry) => [entry.name, entry]));
    for await (const { name, dentry } of listDirectory(nodes, tree, parent)) {
      const place = { parent, name };
      const target = await objectOf(nodes, tree, place, dentry);
      const entry = known.get(name);
      known.delete(name);
      if (entry?.id !== target.id || !sameRecord(entry.record, target.record)) {
        db.unsettle(place);
        if (targets.size < mostTargets) targets.set(placeText(place), target);
      }
      if (target.record.type === "directory" && met.meet(target.id, parent)) rest.push(target.id);
    }
    for (const surplus of known.values()) db.unsettle(surplus);
  }
  const unmet = isFirst ? [] : db.parents().filter((parent) => parent !== PARKED_ID && !met.has(parent));
  for (const parent of unmet) for (const surplus of db.children(parent)) db.unsettle(surplus);
  return targets;
}
