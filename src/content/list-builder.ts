/**
 * Makes list nodes from entries. A node's end depends only on the entries in it, so equal runs of entries become equal
 * nodes anywhere, and an edit changes few nodes.
 */
import type { Block, BlockSink } from "../blocks/block-store.ts";
import { blockOf } from "../blocks/block-codec.ts";
import { digestOf } from "../format/blocks/cid.ts";
import { encodeChunkList, type ListEntry } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import type { ContentConfig } from "./config.ts";

/** A node that is full: its block, and its entry for the level above. */
export interface ListNode {
  readonly block: Block;
  readonly entry: ListEntry;
}

/** Collects the entries of one level and says when a node is full. */
export class NodeBuilder {
  readonly #config: ContentConfig;
  readonly #level: number;
  #entries: ListEntry[] = [];

  constructor(config: ContentConfig, level: number) {
    this.#config = config;
    this.#level = level;
  }

  get entries(): readonly ListEntry[] {
    return this.#entries;
  }

  /** Adds an entry; returns the node that it completes, if any. */
  add(entry: ListEntry): ListNode | undefined {
    this.#entries.push(entry);
    return this.#isFull(entry) ? this.end() : undefined;
  }

  /** Ends the open node, which must have entries. */
  end(): ListNode {
    const entries = this.#entries;
    this.#entries = [];
    const block = blockOf("dag-cbor", encodeChunkList(this.#level, entries));
    const entry = { cid: block.cid, length: sum(entries, "length"), dataLength: sum(entries, "dataLength") };
    return { block, entry };
  }

  /** From `min` entries on, each entry ends the node with a chance of 1 in `mean`, by the hash in its own link. */
  #isFull({ cid }: ListEntry): boolean {
    const { min, mean, max } = this.#config.chunker.list;
    const count = this.#entries.length;
    if (count < min) return false;
    return count === max || (cid !== undefined && firstWord(digestOf(cid)) < Math.floor(2 ** 32 / mean));
  }
}

/** Builds a whole list from its entries as they arrive; holds one open node per level. */
export class ListBuilder {
  readonly #sink: BlockSink;
  readonly #config: ContentConfig;
  readonly #firstLevel: number;
  readonly #levels: NodeBuilder[] = [];

  /** `firstLevel`: the level of the nodes that the entries go into. */
  constructor(sink: BlockSink, config: ContentConfig, firstLevel = 0) {
    this.#sink = sink;
    this.#config = config;
    this.#firstLevel = firstLevel;
  }

  async add(entry: ListEntry): Promise<void> {
    await this.#addAt(0, entry);
  }

  /** Adds a node built elsewhere whose block is stored. Only before any other entry. */
  async addNode(node: ListEntry): Promise<void> {
    this.#at(0);
    await this.#addAt(1, node);
  }

  /** The content of the entries: a single chunk stays a chunk, and a root never has just one child. */
  async finish(): Promise<Content> {
    for (let index = 0; index < this.#levels.length; index++) {
      const level = this.#at(index);
      const isTop = index === this.#levels.length - 1;
      const only = isTop && level.entries.length === 1 ? level.entries[0] : undefined;
      if (only?.cid !== undefined) return contentOf(index + this.#firstLevel === 0 ? "chunk" : "list", only);
      if (level.entries.length === 0) continue;
      const { block, entry } = level.end();
      await this.#sink.put(block);
      if (isTop) return contentOf("list", entry);
      await this.#addAt(index + 1, entry);
    }
    return { kind: "empty" };
  }

  async #addAt(index: number, entry: ListEntry): Promise<void> {
    const node = this.#at(index).add(entry);
    if (node === undefined) return;
    await this.#sink.put(node.block);
    await this.#addAt(index + 1, node.entry);
  }

  #at(index: number): NodeBuilder {
    return (this.#levels[index] ??= new NodeBuilder(this.#config, index + this.#firstLevel));
  }
}

export function contentOf(kind: "chunk" | "list", { cid, length, dataLength }: ListEntry): Content {
  if (cid === undefined) return { kind: "empty" };
  return kind === "list" && dataLength < length ? { kind, cid, dataBytes: dataLength } : { kind, cid };
}

function firstWord(digest: Uint8Array): number {
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0);
}

function sum(entries: readonly ListEntry[], field: "length" | "dataLength"): number {
  return entries.reduce((total, entry) => total + entry[field], 0);
}
