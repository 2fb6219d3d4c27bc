/**
 * Builds a tree from pieces in key order: single entries, and whole subtrees of other trees where the shape allows. Holds
 * one unfinished node per level, whatever the tree's size.
 *
 * A subtree is added unchanged if nothing below its root's level is unfinished: its nodes then start afresh and end by the
 * same rule. Otherwise it is opened, and its parts are added until node ends coincide again.
 */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { MAX_NODE_LEVEL } from "../base/limits.ts";
import { blockOf } from "../blocks/block-codec.ts";
import type { BlockSink } from "../blocks/block-store.ts";
import type { Node } from "../format/tree/node.ts";
import type { TreeConfig } from "./boundary.ts";
import { checkEntry, type Entry } from "./entry.ts";
import { LevelWriter } from "./level-writer.ts";
import type { NodeStore } from "./node-store.ts";

export class TreeBuilder {
  readonly #nodes: NodeStore;
  readonly #sink: BlockSink;
  readonly #config: TreeConfig;
  readonly #writers: LevelWriter[] = [];
  /** Nodes that this build replaces, by level: a new node equal to the replaced one is not new. */
  readonly #replaced: (Cid | undefined)[] = [];
  /** The last child of a tree's last node: it may end where its tree ended instead of where the rule says. */
  #tail: { readonly parent: Node; readonly index: number } | undefined;

  constructor(nodes: NodeStore, sink: BlockSink, config: TreeConfig) {
    this.#nodes = nodes;
    this.#sink = sink;
    this.#config = config;
  }

  /** Adds an entry. If it returns a promise, await it before adding more. Throws `limit_exceeded`. */
  add(entry: Entry): Promise<void> | undefined {
    checkEntry(entry);
    const leaf = this.#writers[0];
    if (leaf === undefined || this.#tail !== undefined) return this.#addLater(entry);
    leaf.add(entry.key, entry.value, entry.links);
    return leaf.complete ? this.#close(leaf) : undefined;
  }

  /**
   * Adds the entries [from, to) of an opened node: for an inner node, everything below them. `last`: the node is the last
   * of its level in its tree.
   */
  async addFrom(node: Node, from: number, to: number, last: boolean): Promise<void> {
    if (from >= to) return;
    await this.#openTail();
    let index = from;
    while (index < to && !this.#isAligned(node.level)) {
      const child = await this.#nodes.child(node, index);
      await this.addFrom(child, 0, child.count, last && index === node.count - 1);
      index++;
    }
    if (index >= to) return;
    const tail = last && to === node.count && node.level > 0;
    await this.#copy(node, index, tail ? to - 1 : to);
    if (tail) this.#tail = { parent: node, index: to - 1 };
  }

  /** Tells the builder that the next additions replace this node of the old tree. */
  replaces(node: Node, cid: Cid): void {
    this.#replaced[node.level] = cid;
  }

  /** Finishes the tree and returns its root. Add nothing afterwards. */
  async finish(): Promise<Cid> {
    const tail = this.#tail;
    this.#tail = undefined;
    if (tail !== undefined) await this.#copy(tail.parent, tail.index, tail.index + 1);
    let level = 0;
    let writer = await this.#writer(level);
    while (writer.taken > 0 || this.#writers.some((above) => above.level > level && above.count + above.taken > 0)) {
      if (writer.count > 0) await this.#close(writer);
      writer = await this.#writer(++level);
    }
    const root = await this.#finishRoot(writer);
    for (const each of this.#writers) each.close();
    return root;
  }

  async #finishRoot(writer: LevelWriter): Promise<Cid> {
    const node = writer.take();
    if (writer.level === 0 || node.count > 1) return this.#put(node);
    // A root must have more than one child; another tree's last node may have only one.
    let cid = node.childAt(0);
    for (;;) {
      const child = await this.#nodes.node(cid);
      if (child.level === 0 || child.count > 1) return cid;
      cid = child.childAt(0);
    }
  }

  async #addLater(entry: Entry): Promise<void> {
    await this.#openTail();
    const leaf = await this.#writer(0);
    leaf.add(entry.key, entry.value, entry.links);
    if (leaf.complete) await this.#close(leaf);
  }

  /** More follows the tail, so its end must be recomputed. */
  async #openTail(): Promise<void> {
    const tail = this.#tail;
    if (tail === undefined) return;
    this.#tail = undefined;
    const child = await this.#nodes.child(tail.parent, tail.index);
    await this.addFrom(child, 0, child.count, true);
    await this.#openTail();
  }

  /** Adds a node's entries to the writer of its level; nothing below may be unfinished. */
  async #copy(node: Node, from: number, to: number): Promise<void> {
    const writer = await this.#writer(node.level);
    for (let index = from; index < to;) {
      index = writer.addFrom(node, index, to);
      if (writer.complete) await this.#close(writer);
    }
  }

  /** Whether an entry of a node at this level can be added unchanged. */
  #isAligned(level: number): boolean {
    for (let below = 0; below < level; below++) if ((this.#writers[below]?.count ?? 0) > 0) return false;
    return true;
  }

  /** Finishes the writer's node, and the nodes above that end with it. */
  async #close(writer: LevelWriter): Promise<void> {
    const node = writer.take();
    const cid = await this.#put(node);
    const above = await this.#writer(writer.level + 1);
    above.addChild(node.keyAt(node.count - 1), node.total, cid);
    if (above.complete) await this.#close(above);
  }

  async #put(node: Node): Promise<Cid> {
    const block = blockOf("dag-cbor", node.bytes);
    const { cid } = block;
    if (this.#replaced[node.level] === cid) return cid;
    this.#nodes.stage(cid, node);
    const taken = this.#sink.put(block);
    if (taken !== undefined) await taken;
    return cid;
  }

  async #writer(level: number): Promise<LevelWriter> {
    if (level > MAX_NODE_LEVEL) {
      throw new SynclineError(
        "limit_exceeded",
        `A tree would have more than ${MAX_NODE_LEVEL} levels above its leaves.`,
      );
    }
    for (let next = this.#writers.length; next <= level; next++) {
      this.#writers.push(new LevelWriter(next, await this.#config.boundary(next)));
    }
    const writer = this.#writers[level];
    if (writer === undefined) throw new SynclineError("internal", "A tree level has no writer.");
    return writer;
  }
}
