/** Compares two contents by their chunk lists, without reading their bytes. */
import type { Cid } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { ChunkList } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import { checkChild, entryStart } from "./list-range.ts";
import type { ContentSource } from "./source.ts";

/**
 * How many leading bytes are in chunks that both contents share. The true common prefix may be longer. If bytes were only
 * appended, it is longer by less than a chunk. Throws BlockMiss, `format_invalid`.
 */
export function sharedStart(source: ContentSource, shorter: Content, longer: Content): number {
  if (shorter.kind !== "list" || longer.kind !== "list") return 0;
  const short = listOf(source, shorter.cid);
  let long = listOf(source, longer.cid);
  while (long.level > short.level) {
    const first = child(source, long, 0);
    if (first === undefined) return 0;
    long = first;
  }
  return long.level === short.level ? sharedIn(source, short, long, 0) : 0;
}

/** `start`: where both nodes begin. */
function sharedIn(source: ContentSource, short: ChunkList, long: ChunkList, start: number): number {
  for (let index = 0; index < short.ends.length; index++) {
    const at = start + entryStart(short, index);
    if (index >= long.ends.length) return at;
    const [one, other] = [short.entry(index), long.entry(index)];
    if (one.cid === other.cid && one.length === other.length) continue;
    const [below, beside] = [child(source, short, index), child(source, long, index)];
    return below === undefined || beside === undefined ? at : sharedIn(source, below, beside, at);
  }
  return start + short.length;
}

/** Undefined: the entry is a chunk or a hole. */
function child(source: ContentSource, list: ChunkList, index: number): ChunkList | undefined {
  const entry = list.entry(index);
  if (list.level === 0 || entry.cid === undefined) return undefined;
  return checkChild(list, entry, listOf(source, entry.cid));
}

function listOf(source: ContentSource, cid: Cid): ChunkList {
  const list = source.peekList(cid);
  if (list === undefined) throw new BlockMiss([cid]);
  return list;
}
