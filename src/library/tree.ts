/**
 * The library entry point `syncline/tree`: sorted rows of bytes as immutable trees of blocks. Reads, edits, comparisons and
 * merges cost in proportion to what differs. docs/reference/library.md has an example.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { BlockStore } from "../blocks/block-store.ts";
import { MemoryBlockStore } from "../blocks/memory-block-store.ts";
import { createTreeConfig, type TreeConfig } from "../tree/boundary.ts";
import { type Change, diff } from "../tree/diff.ts";
import { editTree, emptyTree } from "../tree/edit.ts";
import type { Edit, Entry } from "../tree/entry.ts";
import { mergeTrees } from "../tree/merge.ts";
import type { Resolve } from "../tree/merge-leaves.ts";
import { NodeStore } from "../tree/node-store.ts";
import { get, range } from "../tree/read.ts";

export interface KeyTreesOptions {
  /** Trees with one salt share their nodes. 32 bytes; zeros by default. */
  readonly salt?: Uint8Array;
  /** The mean size of a node; the format's by default. */
  readonly nodeBytes?: number;
  /** Memory for nodes; 16 MiB by default. */
  readonly cacheBytes?: number;
}

const CACHE_BYTES = 16 * 1024 * 1024;
const SALT_BYTES = 32;

/** A block store in memory. Any other `BlockStore` works, too. */
export function memoryBlocks(): BlockStore {
  return new MemoryBlockStore();
}

/** Trees in one block store. A tree is its root node's address: equal rows have equal addresses, however they were made. */
export class KeyTrees {
  readonly #blocks: BlockStore;
  readonly #nodes: NodeStore;
  readonly #config: TreeConfig;

  /** Throws `config_invalid`. */
  constructor(blocks: BlockStore, options: KeyTreesOptions = {}) {
    const { salt = new Uint8Array(SALT_BYTES), nodeBytes, cacheBytes = CACHE_BYTES } = options;
    if (!(cacheBytes >= 0)) throw new SynclineError("config_invalid", `cacheBytes is ${cacheBytes}, not a size.`);
    if (salt.length !== SALT_BYTES)
      throw new SynclineError("config_invalid", `The salt has ${salt.length} bytes instead of ${SALT_BYTES}.`);
    this.#blocks = blocks;
    this.#nodes = new NodeStore(blocks, { capacityBytes: cacheBytes });
    this.#config = createTreeConfig({ salt, ...(nodeBytes === undefined ? {} : { targetBytes: nodeBytes }) });
  }

  /** The tree without rows. */
  empty(): Promise<Cid> {
    return emptyTree(this.#nodes, this.#blocks, this.#config);
  }

  /**
   * The tree with these rows set (`value`) or deleted (`undefined`). Edits must be in ascending key order. Throws
   * `usage` if they are not, and `limit_exceeded`.
   */
  edit(tree: Cid, edits: Iterable<Edit> | AsyncIterable<Edit>): Promise<Cid> {
    return editTree(this.#nodes, this.#blocks, this.#config, tree, edits);
  }

  get(tree: Cid, key: Uint8Array): Promise<Entry | undefined> {
    return get(this.#nodes, tree, key);
  }

  /** The rows with from ≤ key < to, in order. */
  range(tree: Cid, bounds: { readonly from?: Uint8Array; readonly to?: Uint8Array } = {}): AsyncGenerator<Entry> {
    return range(this.#nodes, tree, bounds);
  }

  /** The changes from one tree to the other. Reads only nodes that they do not share. */
  diff(from: Cid, to: Cid): AsyncGenerator<Change> {
    return diff(this.#nodes, from, to);
  }

  /** Takes each row from the side that changed it; calls `resolve`, in key order, for rows that both changed. */
  merge(base: Cid, ours: Cid, theirs: Cid, resolve: Resolve): Promise<Cid> {
    return mergeTrees(this.#nodes, this.#blocks, this.#config, base, ours, theirs, resolve);
  }
}
