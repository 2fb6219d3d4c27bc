/** Finds data and holes in a file's content, and how much of it is data. */
import type { Cid } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { ChunkList } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import { checkChild, entryIndex, entryStart } from "./list-range.ts";
import { checkLength } from "./read.ts";
import { type ContentSource, loading } from "./source.ts";

/**
 * The first offset at or after `offset` with data, or a hole; the end of the file counts as a hole. Undefined: `offset` is
 * at or past the end, or no data follows. Throws `BlockMiss`, `format_invalid`.
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

/** As `peekSeek`, but loads missing blocks. */
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
 * Bytes of the file outside holes, for st_blocks. Undefined if the content does not record it, as older versions did not,
 * and the list's root is not in memory.
 */
export function peekDataBytes(source: ContentSource, content: Content, size: number): number | undefined {
  if (content.kind === "list") return content.dataBytes ?? source.peekList(content.cid)?.dataLength;
  if (content.kind === "inline") return content.bytes.length;
  return content.kind === "empty" ? 0 : size;
}

function knownLength(source: ContentSource, content: Exclude<Content, { kind: "list" }>, size: number): number {
  if (content.kind === "empty") return 0;
  const bytes = content.kind === "inline" ? content.bytes : source.peekChunk(content.cid);
  // A content of one chunk is as long as its file, unless the file was extended by hand: no need to load it.
  return Math.min(size, bytes?.length ?? size);
}

/** Skips nodes with only data when seeking a hole, and nodes with only holes when seeking data. */
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
