/** Finds places in a stored chunk list: nodes by level and offset, loaded on demand. */
import type { ChunkList, ListEntry } from "../format/files/chunk-list.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { checkChild, entryIndex, entryStart, type RangeVisitor, visitRange } from "./list-range.ts";
import { type ContentSource, loadList } from "./source.ts";

/** A node and its offset in the file. */
export interface PlacedNode {
  readonly list: ChunkList;
  readonly start: number;
}

/** An entry of a node and its offset in the file. */
export interface PlacedEntry {
  readonly entry: ListEntry;
  readonly start: number;
}

export class ListCursor {
  readonly #source: ContentSource;
  readonly #cid: Cid;
  readonly #root: ChunkList;
  /** The last node found, by level. */
  readonly #last: (PlacedNode | undefined)[] = [];

  static async open(source: ContentSource, root: Cid): Promise<ListCursor> {
    return new ListCursor(source, root, await loadList(source, root));
  }

  private constructor(source: ContentSource, cid: Cid, root: ChunkList) {
    this.#source = source;
    this.#cid = cid;
    this.#root = root;
  }

  get length(): number {
    return this.#root.length;
  }

  get rootLevel(): number {
    return this.#root.level;
  }

  /** The node of this level that holds the byte at `offset`; at the end of the file the last one. */
  async node(level: number, offset: number): Promise<PlacedNode> {
    const last = this.#last[level];
    if (last !== undefined && offset >= last.start && offset < last.start + last.list.length) return last;
    let placed: PlacedNode = { list: this.#root, start: 0 };
    while (placed.list.level > level) {
      const { entry, start } = placedEntry(placed, offset);
      if (entry.cid === undefined) throw new SynclineError("internal", "A list node above the leaves has a hole.");
      placed = { list: checkChild(placed.list, entry, await loadList(this.#source, entry.cid)), start };
    }
    this.#last[level] = placed;
    return placed;
  }

  /** The entry in a node of this level that holds the byte at `offset`; at the end of the file the last one. */
  async entry(level: number, offset: number): Promise<PlacedEntry> {
    return placedEntry(await this.node(level, offset), offset);
  }

  /** Whether a node of this level begins at `offset`, or the file ends there. */
  async isNodeStart(level: number, offset: number): Promise<boolean> {
    return offset === this.length || (await this.node(level, offset)).start === offset;
  }

  /** The nodes that list the chunks of the file's first bytes, up to `end` and a little more. */
  async leaves(end: number): Promise<ReadonlySet<Cid>> {
    const leaves = new Set<Cid>();
    for (let at = 0; this.rootLevel > 0 && at < Math.min(end, this.length);) {
      const { list, start } = await this.node(1, at);
      for (let index = 0; index < list.ends.length; index++) {
        const { cid } = list.entry(index);
        if (cid !== undefined) leaves.add(cid);
      }
      at = start + list.length;
    }
    return leaves;
  }

  /** Loads the chunks that overlap these ranges, and the nodes above them, one request per level. */
  async fetch(ranges: readonly { readonly from: number; readonly to: number }[]): Promise<void> {
    for (let level = 0; level <= this.rootLevel; level++) {
      const missing = new Set<Cid>();
      for (const { from, to } of ranges) visitRange(this.#source, this.#cid, from, to, this.#missingInto(missing));
      if (missing.size > 0) await this.#source.load([...missing]);
    }
  }

  #missingInto(missing: Set<Cid>): RangeVisitor {
    return {
      entry: (_, { cid }) => {
        if (cid !== undefined && this.#source.peekChunk(cid) === undefined) missing.add(cid);
        return true;
      },
      missing: (cid) => missing.add(cid),
    };
  }
}

function placedEntry({ list, start }: PlacedNode, offset: number): PlacedEntry {
  const index = Math.min(entryIndex(list, offset - start), list.ends.length - 1);
  return { entry: list.entry(index), start: start + entryStart(list, index) };
}
