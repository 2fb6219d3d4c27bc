/** Compares an object, and everything below it, in two trees of a bucket. */
import type { Cid, FileId } from "../../base/ids.ts";
import { liesInItself, type ListedEntry, listDirectory, objectOf, type TreeObject } from "../../fstree/fs-reader.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import type { NodeStore } from "../../tree/node-store.ts";

/** An object, and the tree that has it. */
export interface InTree {
  readonly tree: Cid;
  readonly object: TreeObject;
}

/** Whether an object has the same id and record in both trees, and so has everything below it. Its path may differ. */
export async function isUnchanged(nodes: NodeStore, before: InTree, after: InTree): Promise<boolean> {
  if (!isSame(before.object, after.object)) return false;
  if (before.tree === after.tree || after.object.record.type !== "directory") return true;
  const left = [after.object.id];
  const seen = new Set<FileId>();
  for (let id = left.pop(); id !== undefined; id = left.pop()) {
    if (seen.has(id)) throw liesInItself();
    seen.add(id);
    const below = await unchangedEntries(nodes, before.tree, after.tree, id);
    if (below === undefined) return false;
    left.push(...below);
  }
  return true;
}

/** The directories in a directory, or undefined if anything in it differs. */
async function unchangedEntries(
  nodes: NodeStore,
  before: Cid,
  after: Cid,
  directory: FileId,
): Promise<FileId[] | undefined> {
  const old = listDirectory(nodes, before, directory);
  const directories: FileId[] = [];
  for await (const entry of listDirectory(nodes, after, directory)) {
    const { value } = await old.next();
    if (value === undefined || value.name !== entry.name) return undefined;
    const [was, is] = [await objectIn(nodes, before, directory, value), await objectIn(nodes, after, directory, entry)];
    if (!isSame(was, is)) return undefined;
    if (is.record.type === "directory") directories.push(is.id);
  }
  return (await old.next()).done === true ? directories : undefined;
}

function objectIn(nodes: NodeStore, tree: Cid, parent: FileId, { name, dentry }: ListedEntry): Promise<TreeObject> {
  return objectOf(nodes, tree, { parent, name }, dentry);
}

function isSame(a: TreeObject, b: TreeObject): boolean {
  return a.id === b.id && sameRecord(a.record, b.record);
}
