/** Paths of a tree's directories. */
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { readSelf } from "../../fstree/fs-reader.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { DiskPath } from "../disk/disk.ts";

interface Tree {
  readonly nodes: NodeStore;
  readonly tree: Cid;
}

export class TreePaths {
  readonly #tree: Tree;
  readonly #paths = new Map<FileId, DiskPath | undefined>([[ROOT_ID, []]]);

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  /** Undefined: the directory, or one above it, is missing. Each is read once, however deep the tree is. */
  async of(id: FileId): Promise<DiskPath | undefined> {
    const { nodes, tree } = this.#tree;
    const way = new Map<FileId, FileName>();
    let at = id;
    while (!this.#paths.has(at)) {
      const self = await readSelf(nodes, tree, at);
      if (self?.kind !== "directory" || self.place === undefined || way.has(at)) {
        this.#paths.set(at, undefined);
        break;
      }
      way.set(at, self.place.name);
      at = self.place.parent;
    }
    for (const [directory, name] of [...way].reverse()) {
      const above = this.#paths.get(at);
      this.#paths.set(directory, above && [...above, name]);
      at = directory;
    }
    return this.#paths.get(id);
  }
}
