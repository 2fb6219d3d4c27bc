/** Plans long sequential reads: past the memory caches where possible, else through them up to the next such place. */
import type { Cid } from "../base/ids.ts";
import type { SizedBlock } from "../blocks/block-store.ts";
import { visitRange } from "./list-range.ts";
import { checkLength } from "./read.ts";
import type { ContentSource } from "./source.ts";

export interface UncachedRead {
  /** Whole adjacent chunks from `offset` on that are not in memory. */
  readonly absent: readonly SizedBlock[];
  /** If there are none: read through memory up to here, or to the next such chunk; list nodes may be missing in between. */
  readonly end: number;
}

/** The next step at `offset` of a file with this chunk list, of at most `room` bytes. Throws `format_invalid`. */
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
      const isHere = cid === undefined || source.isAtHand(cid);
      const isFar = !isHere && start >= offset && start + entry.length <= to;
      // A node before this is missing.
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
