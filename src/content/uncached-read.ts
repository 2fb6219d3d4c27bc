/** How a long way of a file is read in order: past the caches in memory where that can be, and else through them, up to where it can. */
import type { Cid } from "../base/ids.ts";
import type { SizedBlock } from "../blocks/block-store.ts";
import { visitRange } from "./list-range.ts";
import { checkLength } from "./read.ts";
import type { ContentSource } from "./source.ts";

export interface UncachedRead {
  /** Whole chunks from `offset` on, one behind the other, that are not in memory. */
  readonly absent: readonly SizedBlock[];
  /** If there are none: so far to read through memory, up to such a chunk if one comes; list nodes may be missing there. */
  readonly end: number;
}

/** The next step at `offset` of a file of `size` bytes with this chunk list: of at most `room` bytes. Throws `format_invalid`. */
export function uncachedRead(
  source: ContentSource,
  list: Cid,
  size: number,
  offset: number,
  room: number,
): UncachedRead {
  const length = source.peekList(list)?.length;
  if (length !== undefined) checkLength(length, size);
  const to = offset + room;
  const absent: SizedBlock[] = [];
  let at = offset;
  visitRange(source, list, offset, to, {
    entry: (start, entry) => {
      const { cid } = entry;
      const isHere = cid === undefined || source.peekChunk(cid) !== undefined;
      const isFar = !isHere && start >= offset && start + entry.length <= to;
      // Behind a node that is missing.
      if (start > at) return false;
      // Either the one or the other.
      if (at > offset && (absent.length > 0 ? !isFar : !isHere)) return false;
      if (isFar) absent.push({ cid, length: entry.length });
      at = start + entry.length;
      return true;
    },
    missing: () => {},
  });
  return { absent, end: at === offset ? to : Math.min(at, to) };
}
