/** The paths that changed from one tree to another: for doors whose clients ask for changes since their last look. */
import type { Cid, FileId, FileName } from "../base/ids.ts";
import type { BaseChange } from "../fstree/change-set.ts";
import { differences, MAX_LISTED_CHANGES } from "../fstree/differences.ts";
import { listDirectory, pathOfDirectory, readBackrefs, readSelf } from "../fstree/fs-reader.ts";
import type { NodeStore } from "../tree/node-store.ts";

export type TreePath = readonly FileName[];

/**
 * All paths where something changed: created, modified, removed or moved, each once, with the whole contents of a directory
 * that moved in or was replaced. Undefined: there are too many. Rejects as the node store does.
 */
export async function changedPaths(nodes: NodeStore, from: Cid, to: Cid): Promise<TreePath[] | undefined> {
  const changes = await differences(nodes, from, to);
  if (changes === undefined) return undefined;
  const found = new Paths(nodes, from, to);
  for (const change of changes) {
    await found.note(change);
    if (found.paths.size > MAX_LISTED_CHANGES) return undefined;
  }
  return [...found.paths.values()];
}

class Paths {
  readonly paths = new Map<string, TreePath>();
  readonly #nodes: NodeStore;
  readonly #from: Cid;
  readonly #to: Cid;
  readonly #directories = new Map<string, TreePath | undefined>();

  constructor(nodes: NodeStore, from: Cid, to: Cid) {
    this.#nodes = nodes;
    this.#from = from;
    this.#to = to;
  }

  async note(change: BaseChange): Promise<void> {
    if (change.kind === "self") return this.#self(change.id);
    const { parent, name, before, after } = change;
    // A directory that is gone counts at its old place.
    const directory = (await this.#directory(this.#to, parent)) ?? (await this.#directory(this.#from, parent));
    if (directory === undefined) return;
    const path = [...directory, name];
    this.#add(path);
    if (after === undefined || after === before) return;
    // If nothing had the name now, clients would drop the directory with its contents by themselves.
    const left = before === undefined ? undefined : await readSelf(this.#nodes, this.#from, before);
    if (before !== undefined && left?.kind === "directory") await this.#tree(this.#from, before, path);
    // Entries of a new directory changed by themselves; entries of a moved one did not.
    const [old, now] = [await readSelf(this.#nodes, this.#from, after), await readSelf(this.#nodes, this.#to, after)];
    if (old?.kind === "directory" && now?.kind === "directory") await this.#tree(this.#to, after, path);
  }

  async #self(id: FileId): Promise<void> {
    const self = await readSelf(this.#nodes, this.#to, id);
    if (self?.kind === "directory") {
      const path = await this.#directory(this.#to, id);
      if (path !== undefined) this.#add(path);
      return;
    }
    for (const { parent, name } of self === undefined ? [] : await readBackrefs(this.#nodes, this.#to, id)) {
      const path = await this.#directory(this.#to, parent);
      if (path !== undefined) this.#add([...path, name]);
    }
  }

  async #tree(tree: Cid, id: FileId, path: TreePath): Promise<void> {
    const waiting = [{ id, path }];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for await (const { name, dentry } of listDirectory(this.#nodes, tree, at.id)) {
        // More paths would be discarded anyway, and a damaged tree may have directories inside themselves.
        if (this.paths.size > MAX_LISTED_CHANGES) return;
        const inner = [...at.path, name];
        this.#add(inner);
        if (dentry.kind === "reference" && dentry.type === "directory") waiting.push({ id: dentry.id, path: inner });
      }
    }
  }

  async #directory(tree: Cid, id: FileId): Promise<TreePath | undefined> {
    const key = `${tree}/${id}`;
    if (this.#directories.has(key)) return this.#directories.get(key);
    const path = await pathOfDirectory(this.#nodes, tree, id);
    this.#directories.set(key, path);
    return path;
  }

  #add(path: TreePath): void {
    this.paths.set(path.join("/"), path);
  }
}
