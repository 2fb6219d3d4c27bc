/**
 * Decoded tree nodes in memory: an LRU by bytes over a BlockReader. Nodes are immutable, so hits need no check. A child is
 * checked against its parent each time it is reached, since a node does not know its own range.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { MAX_NODE_LEVEL, NODE_TARGET_BYTES } from "../base/limits.ts";
import { BlockMiss, type BlockReader } from "../blocks/block-store.ts";
import { Node } from "../format/tree/node.ts";
import { decodeNode } from "../format/tree/node-decoder.ts";
import { checkChild } from "./child-check.ts";
import type { Opened, Subtree } from "./subtree.ts";

export class NodeStore {
  /** How many nodes to load at once so that all stay in memory. */
  readonly batch: number;
  readonly #blocks: BlockReader;
  readonly #capacity: number;
  readonly #slots = new Map<Cid, Slot>();
  readonly #loading = new Map<Cid, Promise<Batch>>();
  #bytes = 0;

  /**
   * Keeps up to `capacityBytes` of nodes, and at least MIN_NODES_KEPT nodes, so that a descent always fits. `batch`
   * defaults to the number of usual nodes in a quarter of that.
   */
  constructor(blocks: BlockReader, options: { readonly capacityBytes: number; readonly batch?: number }) {
    this.#blocks = blocks;
    this.#capacity = options.capacityBytes;
    const quarter = Math.floor(options.capacityBytes / 4 / NODE_TARGET_BYTES);
    this.batch = options.batch ?? Math.min(MAX_BATCH_NODES, Math.max(MIN_NODES_KEPT / 4, quarter));
  }

  /** Bytes of the nodes in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The node if it is in memory. */
  peek(cid: Cid): Node | undefined {
    const slot = this.#slots.get(cid);
    if (slot === undefined) return undefined;
    slot.recent = true;
    return slot.node;
  }

  /** The child `index` of an inner node if it is in memory. Throws `format_invalid` if it does not match its parent. */
  peekChild(parent: Node, index: number): Node | undefined {
    const child = this.peek(parent.childAt(index));
    if (child !== undefined) checkChild(parent, index, child);
    return child;
  }

  /** The node, from memory or freshly read. Rejects as BlockReader.get, and with `format_invalid`. */
  async node(cid: Cid): Promise<Node> {
    return this.peek(cid) ?? firstOf(await this.nodes([cid]));
  }

  async child(parent: Node, index: number): Promise<Node> {
    const cid = parent.childAt(index);
    const child = this.peek(cid) ?? firstOf(await this.nodes([cid]));
    checkChild(parent, index, child);
    return child;
  }

  /** The children [from, to) of an inner node; missing ones are read in one request. */
  async children(parent: Node, from: number, to: number): Promise<Node[]> {
    const cids = Array.from({ length: to - from }, (_, at) => parent.childAt(from + at));
    const children = await this.nodes(cids);
    for (const [at, child] of children.entries()) checkChild(parent, from + at, child);
    return children;
  }

  /** These subtrees, opened and checked against their parents, in order, in one request. `alike` as for `nodes`. */
  async subtrees(subtrees: readonly Subtree[], alike: Iterable<Node> = []): Promise<Opened[]> {
    const opened = await this.nodes(
      subtrees.map(({ cid }) => cid),
      alike,
    );
    return opened.map((node, at) => {
      const subtree = subtrees[at];
      if (subtree === undefined) throw new SynclineError("internal", "More nodes were read than requested.");
      return openedAs(subtree, node);
    });
  }

  /**
   * All of these nodes, in order; missing ones are read in one request. Nodes similar to one of `alike`, or to each other,
   * open faster (decodeNode).
   */
  async nodes(cids: readonly Cid[], alike: Iterable<Node> = []): Promise<Node[]> {
    const missing = new Set<Cid>();
    const known = cids.map((cid) => {
      const node = this.peek(cid) ?? this.#loading.get(cid);
      if (node === undefined) missing.add(cid);
      return node;
    });
    const read = missing.size > 0 ? this.#read([...missing], [...alike, ...known]) : undefined;
    const nodes: Node[] = [];
    let waited: Promise<Batch> | undefined;
    let batch: Batch | undefined;
    for (const [at, cid] of cids.entries()) {
      const node = known[at] ?? read;
      if (!(node instanceof Node) && node !== waited) batch = await (waited = node);
      nodes.push(node instanceof Node ? node : openedOf(cid, batch));
    }
    return nodes;
  }

  /** Reads the missing ones in one request. */
  async load(cids: readonly Cid[]): Promise<void> {
    await this.nodes(cids);
  }

  /** Releases nodes that are not needed for now, so that others stay longer. */
  release(cids: Iterable<Cid>): void {
    for (const cid of cids) {
      const slot = this.#slots.get(cid);
      if (slot === undefined) continue;
      this.#slots.delete(cid);
      this.#bytes -= slot.bytes;
    }
  }

  /** Puts a locally made node into memory. */
  stage(cid: Cid, node: Node): void {
    if (!this.#slots.has(cid)) this.#keep(cid, node);
  }

  /** One promise for all: for thousands of nodes, separate promises would cost as much as opening them. */
  #read(cids: readonly Cid[], alike: readonly unknown[]): Promise<Batch> {
    const batch = this.#blocks.getMany(cids).then((found) => {
      const opened = new Map<Cid, Node | Unopened>();
      // Nodes read together are often from two similar trees; similar nodes have equal lengths.
      const byLength = new Map<number, Node>();
      for (const node of alike) if (node instanceof Node) byLength.set(node.bytes.length, node);
      for (const cid of cids) {
        const node = openNode(cid, found.get(cid), byLength);
        if (node instanceof Node) this.stage(cid, node);
        opened.set(cid, node);
      }
      return opened;
    });
    for (const cid of cids) this.#loading.set(cid, batch);
    const settled = () => {
      for (const cid of cids) this.#loading.delete(cid);
    };
    batch.then(settled, settled);
    return batch;
  }

  #keep(cid: Cid, node: Node): void {
    const bytes = node.bytes.length + (node.level > 0 ? CHILD_OVERHEAD_BYTES * node.count : 0);
    this.#slots.set(cid, { node, bytes, recent: false });
    this.#bytes += bytes;
    if (this.#bytes > this.#capacity) this.#evict();
  }

  /** Second chance: a node used since its last turn is kept for another round. */
  #evict(): void {
    for (const [cid, slot] of this.#slots) {
      if (this.#bytes <= this.#capacity || this.#slots.size <= MIN_NODES_KEPT) return;
      this.#slots.delete(cid);
      if (slot.recent) {
        slot.recent = false;
        this.#slots.set(cid, slot);
      } else {
        this.#bytes -= slot.bytes;
      }
    }
  }
}

/** For synchronous readers. Throws BlockMiss when the node is not in memory. */
export function peekNode(nodes: NodeStore, cid: Cid): Node {
  const node = nodes.peek(cid);
  if (node === undefined) throw new BlockMiss([cid]);
  return node;
}

/** Kept whatever the capacity: a descent, and the batch of leaves that a synchronous range needs at once. */
export const MIN_NODES_KEPT = 4 * (MAX_NODE_LEVEL + 1);
const MAX_BATCH_NODES = 256;
/** The string of a child's CID, once requested. */
const CHILD_OVERHEAD_BYTES = 96;

interface Slot {
  readonly node: Node;
  readonly bytes: number;
  recent: boolean;
}

/** What one request read. */
type Batch = ReadonlyMap<Cid, Node | Unopened>;

/** Why a block is not a node: for the caller that wants this one, not for others in the same request. */
interface Unopened {
  readonly error: SynclineError;
}

function openNode(cid: Cid, bytes: Uint8Array | undefined, byLength: Map<number, Node>): Node | Unopened {
  if (bytes === undefined) return { error: new SynclineError("block_not_found", `Block ${cid} was not found.`) };
  try {
    // A node read as part of a long range must not keep the whole range in memory.
    const own = bytes.buffer.byteLength > 2 * bytes.length ? new Uint8Array(bytes) : bytes;
    const node = decodeNode(own, byLength.get(own.length));
    byLength.set(own.length, node);
    return node;
  } catch (cause) {
    return { error: new SynclineError("format_invalid", `Block ${cid} is not a tree node.`, { cause }) };
  }
}

/** Throws the error that kept this node from opening. */
function openedOf(cid: Cid, batch: Batch | undefined): Node {
  const opened = batch?.get(cid);
  if (opened instanceof Node) return opened;
  throw opened?.error ?? new SynclineError("internal", "A requested node was not read.");
}

/** The node as this subtree, checked against its parent. */
export function openedAs(subtree: Subtree, node: Node): Opened {
  if (subtree.place !== undefined) checkChild(subtree.place.parent, subtree.place.index, node);
  return { subtree, node };
}

function firstOf(nodes: readonly Node[]): Node {
  const [node] = nodes;
  if (node === undefined) throw new SynclineError("internal", "Reading one node returned none.");
  return node;
}
