/**
 * Makes list nodes from entries: where a node ends is told by the entries in it alone, so equal runs of entries become
 * equal nodes wherever they stand, and an edit changes few of them.
 */
import type { BlockSink } from "../blocks/block-store.ts";
import { cidOf, digestOf } from "../format/cid.ts";
import { encodeChunkList } from "../format/chunk-list.ts";
import type { ListEntry } from "../format/chunk-list.ts";
import type { Content } from "../format/record.ts";
import type { ContentConfig } from "./config.ts";

/** Collects the entries of one level and says when a node is full. */
export class NodeBuilder {
  readonly #sink: BlockSink;
  readonly #config: ContentConfig;
  readonly #level: number;
  #entries: ListEntry[] = [];

  constructor(sink: BlockSink, config: ContentConfig, level: number) {
    this.#sink = sink;
    this.#config = config;
    this.#level = level;
  }

  get entries(): readonly ListEntry[] {
    return this.#entries;
  }

  /** Adds an entry; answers the node that it ended, as an entry for the level above. */
  async add(entry: ListEntry): Promise<ListEntry | undefined> {
    this.#entries.push(entry);
    return this.#isFull(entry) ? this.end() : undefined;
  }

  /** Ends the node that is open and has entries. */
  async end(): Promise<ListEntry> {
    const entries = this.#entries;
    this.#entries = [];
    const bytes = encodeChunkList(this.#level, entries);
    const cid = cidOf("dag-cbor", bytes);
    await this.#sink.put({ cid, bytes });
    return { cid, length: sum(entries, "length"), dataLength: sum(entries, "dataLength") };
  }

  /** At least `min` entries, then every entry ends it with a chance of 1 in `mean`, by the hash in its own link. */
  #isFull({ cid }: ListEntry): boolean {
    const { min, mean, max } = this.#config.chunker.list;
    const count = this.#entries.length;
    if (count < min) return false;
    return count === max || (cid !== undefined && firstWord(digestOf(cid)) < Math.floor(2 ** 32 / mean));
  }
}

/** Builds a whole list from its entries as they come; holds one open node a level. */
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

  /** The content that the entries make: one chunk stays a chunk, and a root never has one child only. */
  async finish(): Promise<Content> {
    for (let index = 0; index < this.#levels.length; index++) {
      const open = this.#levels[index]?.entries ?? [];
      const isTop = index === this.#levels.length - 1;
      const only = isTop && open.length === 1 ? open[0] : undefined;
      if (only?.cid !== undefined) return contentOf(index + this.#firstLevel === 0 ? "chunk" : "list", only);
      if (open.length === 0) continue;
      const node = await this.#levels[index]?.end();
      if (node === undefined) break;
      if (isTop) return contentOf("list", node);
      await this.#addAt(index + 1, node);
    }
    return { kind: "empty" };
  }

  async #addAt(index: number, entry: ListEntry): Promise<void> {
    const level = (this.#levels[index] ??= new NodeBuilder(this.#sink, this.#config, index + this.#firstLevel));
    const node = await level.add(entry);
    if (node !== undefined) await this.#addAt(index + 1, node);
  }
}

export function contentOf(kind: "chunk" | "list", { cid }: ListEntry): Content {
  return cid === undefined ? { kind: "empty" } : { kind, cid };
}

function firstWord(digest: Uint8Array): number {
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0);
}

function sum(entries: readonly ListEntry[], field: "length" | "dataLength"): number {
  return entries.reduce((total, entry) => total + entry[field], 0);
}
