/** Walks a range of a chunk list in memory, and finds missing nodes. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { ChunkList, ListEntry } from "../format/files/chunk-list.ts";
import type { ContentSource } from "./source.ts";

export interface RangeVisitor {
  /** A chunk or hole at offset `start` of the file. Return false to stop. */
  entry(start: number, entry: ListEntry): boolean;
  /** A list node that is not in memory: its range is skipped. */
  missing(cid: Cid): void;
}

/** Visits the chunks and holes that overlap [from, to), in order. False: the visitor stopped. */
export function visitRange(source: ContentSource, root: Cid, from: number, to: number, visitor: RangeVisitor): boolean {
  const list = source.peekList(root);
  if (list !== undefined) return visitNode(source, list, 0, from, to, visitor);
  visitor.missing(root);
  return true;
}

/** The first entry that ends more than `offset` bytes after the node's start. */
export function entryIndex(list: ChunkList, offset: number): number {
  let [low, high] = [0, list.ends.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list.ends[middle] as number) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where an entry begins, in bytes from the node's start. */
export function entryStart(list: ChunkList, index: number): number {
  return index === 0 ? 0 : (list.ends[index - 1] as number);
}

/** What an entry states of its node. */
export type NodeSummary = Pick<ChunkList, "level" | "length" | "dataLength">;

/** Checks a node against its parent's entry. Throws `format_invalid`. */
export function checkChild<Node extends NodeSummary>(parent: ChunkList, entry: ListEntry, child: Node): Node {
  const fits =
    child.level === parent.level - 1 && child.length === entry.length && child.dataLength === entry.dataLength;
  if (!fits)
    throw new SynclineError("format_invalid", `Chunk list node ${entry.cid} does not match its parent's entry.`);
  return child;
}

function visitNode(
  source: ContentSource,
  list: ChunkList,
  start: number,
  from: number,
  to: number,
  visitor: RangeVisitor,
): boolean {
  for (let index = entryIndex(list, from - start); index < list.ends.length; index++) {
    const at = start + entryStart(list, index);
    if (at >= to) return true;
    const entry = list.entry(index);
    if (list.level === 0) {
      if (!visitor.entry(at, entry)) return false;
      continue;
    }
    const child = entry.cid === undefined ? undefined : source.peekList(entry.cid);
    if (child !== undefined) {
      if (!visitNode(source, checkChild(list, entry, child), at, from, to, visitor)) return false;
    } else if (entry.cid !== undefined) {
      visitor.missing(entry.cid);
    }
  }
  return true;
}
