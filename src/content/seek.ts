/** Finding data and holes in a file's content, and how much of it is data. */
import type { Cid } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { ChunkList } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import { checkChild, entryIndex, entryStart } from "./list-range.ts";
import { checkLength } from "./read.ts";
import { loading } from "./source.ts";
import type { ContentSource } from "./source.ts";

/**
 * The first offset from `offset` on where there is data, or a hole; the end of the file counts as a hole. Undefined:
 * `offset` is at or past the end, or there is no data behind it. Throws `BlockMiss`, `format_invalid`.
 */
export function peekSeek(
  source: ContentSource,
  content: Content,
  size: number,
  offset: number,
  whence: "data" | "hole",
): number | undefined {
  if (offset < 0 || offset >= size) return undefined;
  const dataEnd = content.kind === "list" ? 0 : knownLength(source, content, size);
  if (content.kind !== "list") {
    if (whence === "data") return offset < dataEnd ? offset : undefined;
    return Math.max(offset, dataEnd);
  }
  const root = peekNode(source, content.cid);
  checkLength(root.length, size);
  const found = seekNode(source, root, 0, offset, whence);
  return found ?? (whence === "hole" ? Math.max(offset, root.length) : undefined);
}

/** As `peekSeek`; loads what is missing. */
export function seekContent(
  source: ContentSource,
  content: Content,
  size: number,
  offset: number,
  whence: "data" | "hole",
): Promise<number | undefined> {
  return loading(source, () => peekSeek(source, content, size, offset, whence));
}

/**
 * Bytes of the file that are not in holes, for st_blocks. Undefined when the content does not say, as those that older versions
 * made, and the list's root is not in memory.
 */
export function peekDataBytes(source: ContentSource, content: Content, size: number): number | undefined {
  if (content.kind === "list") return content.dataBytes ?? source.peekList(content.cid)?.dataLength;
  if (content.kind === "inline") return content.bytes.length;
  return content.kind === "empty" ? 0 : size;
}

function knownLength(source: ContentSource, content: Exclude<Content, { kind: "list" }>, size: number): number {
  if (content.kind === "empty") return 0;
  const bytes = content.kind === "inline" ? content.bytes : source.peekChunk(content.cid);
  // A chunk in the place of a whole file is as long as the file, unless the file was lengthened by hand: no need to load it.
  return Math.min(size, bytes?.length ?? size);
}

/** Passes over nodes that have nothing but data when a hole is sought, and nothing but holes when data is. */
function seekNode(
  source: ContentSource,
  list: ChunkList,
  start: number,
  offset: number,
  whence: "data" | "hole",
): number | undefined {
  for (let index = entryIndex(list, offset - start); index < list.ends.length; index++) {
    const entry = list.entry(index);
    const at = start + entryStart(list, index);
    if (whence === "data" ? entry.dataLength === 0 : entry.dataLength === entry.length) continue;
    if (list.level === 0 || entry.cid === undefined) return Math.max(offset, at);
    const child = checkChild(list, entry, peekNode(source, entry.cid));
    const found = seekNode(source, child, at, offset, whence);
    if (found !== undefined) return found;
  }
  return undefined;
}

function peekNode(source: ContentSource, cid: Cid): ChunkList {
  const node = source.peekList(cid);
  if (node === undefined) throw new BlockMiss([cid]);
  return node;
}
