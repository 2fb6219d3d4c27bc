/**
 * The open conflicts in a tree: losing versions stay under conflict names beside the winner until a person decides. Found
 * by name: directories are listed, records are read only for conflicting entries, contents never. A stored list would change
 * with every merge and could contradict the tree; history would have to be read whole, and may be thinned.
 */
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { dentryId } from "../../format/files/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { liesInItself, listDirectory, readObject, resolvePath } from "../../fstree/fs-reader.ts";
import type { ListedEntry, TreeObject } from "../../fstree/fs-reader.ts";
import type { ConflictKind } from "../../fstree/merge/conflict.ts";
import { plainNameOf } from "./marked-name.ts";

/** One name, and all versions that lost to it. */
export interface OpenConflict {
  /** The name that all of them had before. */
  readonly path: readonly FileName[];
  /** The object that has the name now; undefined when it is gone. */
  readonly kept: TreeObject | undefined;
  /** At least one, ordered by name. */
  readonly versions: readonly Displaced[];
}

export interface Displaced {
  readonly path: readonly FileName[];
  readonly object: TreeObject;
  readonly kind: Exclude<ConflictKind, "dropped-move">;
}

/** All conflicts in a directory and below it, directory by directory. Throws `format_invalid` for a tree with cycles. */
export async function* openConflicts(
  nodes: NodeStore,
  tree: Cid,
  directory: TreeObject,
  path: readonly FileName[],
): AsyncGenerator<OpenConflict> {
  const left = [{ id: directory.id, path }];
  const seen = new Set<FileId>();
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (seen.has(next.id)) throw liesInItself();
    seen.add(next.id);
    const below: typeof left = [];
    const marked: ListedEntry[] = [];
    for await (const entry of listDirectory(nodes, tree, next.id)) {
      const { name, dentry } = entry;
      if (dentry.kind === "reference" && dentry.type === "directory")
        below.push({ id: dentry.id, path: [...next.path, name] });
      if (plainNameOf(name) !== undefined) marked.push(entry);
    }
    yield* conflictsIn(nodes, tree, next, marked);
    left.push(...below.reverse());
  }
}

/** The conflict at a path: over its name, or the one that it lost (then with this version alone). */
export async function conflictAt(
  nodes: NodeStore,
  tree: Cid,
  path: readonly FileName[],
): Promise<OpenConflict | undefined> {
  const name = path.at(-1);
  const above = path.slice(0, -1);
  const directory = await resolvePath(nodes, tree, above);
  if (name === undefined || directory?.record.type !== "directory") return undefined;
  const marked: ListedEntry[] = [];
  for await (const entry of listDirectory(nodes, tree, directory.id)) {
    if (entry.name === name || plainNameOf(entry.name) === name) marked.push(entry);
  }
  const isMarked = ({ name: each }: ListedEntry) => plainNameOf(each) !== undefined;
  // A version that lost the conflict may have versions of its own that lost to it.
  const own = marked.filter((entry) => entry.name !== name && isMarked(entry));
  const meant = own.length > 0 ? own : marked.filter(isMarked);
  for await (const found of conflictsIn(nodes, tree, { id: directory.id, path: above }, meant)) return found;
  return undefined;
}

async function* conflictsIn(
  nodes: NodeStore,
  tree: Cid,
  directory: { readonly id: FileId; readonly path: readonly FileName[] },
  marked: readonly ListedEntry[],
): AsyncGenerator<OpenConflict> {
  const groups = new Map<FileName, Displaced[]>();
  for (const { name, dentry } of marked) {
    const plain = plainNameOf(name);
    const place = { parent: directory.id, name };
    const object = await readObject(nodes, tree, dentryId(place.parent, name, dentry), place);
    if (plain === undefined || object === undefined) continue;
    const kind = object.record.conflict === undefined ? "displaced" : "copy";
    groups.set(plain, [...(groups.get(plain) ?? []), { path: [...directory.path, name], object, kind }]);
  }
  for (const [plain, versions] of groups) {
    const path = [...directory.path, plain];
    yield { path, kept: await resolvePath(nodes, tree, path), versions };
  }
}
