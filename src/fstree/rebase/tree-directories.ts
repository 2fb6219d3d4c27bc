/** A tree's directories, each read once: in batches, and their ancestors level by level. */
import type { Cid, FileId } from "../../base/ids.ts";
import { parseKey, selfKey } from "../../format/files/keys.ts";
import { decodeSelf, type SelfRow } from "../../format/files/rows.ts";
import { KeySearch } from "../../tree/key-search.ts";
import type { NodeStore } from "../../tree/node-store.ts";

interface Known {
  readonly isDirectory: boolean;
  readonly parent: FileId | undefined;
}

export class TreeDirectories {
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  /** Undefined: there is no such row. */
  readonly #known = new Map<FileId, Known | undefined>();

  constructor(nodes: NodeStore, tree: Cid) {
    this.#nodes = nodes;
    this.#tree = tree;
  }

  /** Reads these ahead. */
  async load(ids: Iterable<FileId>): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.#known.has(id)).sort();
    for (let at = 0; at < unknown.length; at += this.#nodes.batch) {
      const batch = unknown.slice(at, at + this.#nodes.batch);
      for (const id of batch) this.#known.set(id, undefined);
      for (const { id, self } of await selfRowsIn(new KeySearch(this.#nodes, batch.map(selfKey)), this.#tree))
        this.#known.set(id, knownOf(self));
    }
  }

  /** Reads these ahead, and all above them. */
  async loadUpwards(ids: Iterable<FileId>): Promise<void> {
    const seen = new Set<FileId>();
    for (let level = [...new Set(ids)]; level.length > 0;) {
      await this.load(level);
      for (const id of level) seen.add(id);
      level = [...new Set(level.flatMap((id) => this.#known.get(id)?.parent ?? []))].filter((id) => !seen.has(id));
    }
  }

  /** Whether the tree has a row of its own for this id. */
  async has(id: FileId): Promise<boolean> {
    return (await this.#get(id)) !== undefined;
  }

  async isDirectory(id: FileId): Promise<boolean> {
    return (await this.#get(id))?.isDirectory === true;
  }

  /** The directory that holds it; undefined for the root, and for ids that are not directories. */
  async parentOf(id: FileId): Promise<FileId | undefined> {
    return (await this.#get(id))?.parent;
  }

  async #get(id: FileId): Promise<Known | undefined> {
    await this.load([id]);
    return this.#known.get(id);
  }
}

/** The records that a tree has of the directories that are searched for. */
export async function selfRowsIn(
  search: KeySearch,
  tree: Cid,
): Promise<{ readonly id: FileId; readonly self: SelfRow }[]> {
  return (await search.in(tree)).map((entry) => {
    const { id } = parseKey(entry.key);
    return { id, self: decodeSelf(id, entry) };
  });
}

function knownOf(self: SelfRow): Known {
  const isDirectory = self.kind === "directory";
  return { isDirectory, parent: isDirectory ? self.place?.parent : undefined };
}
