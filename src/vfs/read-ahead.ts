/** How far ahead of a reader contents are fetched: the distance doubles with each sequential read, up to a bound. */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Ino } from "../base/ids.ts";
import { READ_AHEAD_FIRST_BYTES, READ_AHEAD_MAX_BYTES } from "../base/limits.ts";

interface Stream {
  /** Where the last read ended. */
  end: number;
  /** The end of what was fetched. */
  fetched: number;
  window: number;
}

const STREAMS = 256;

export class ReadAhead {
  readonly #streams = new BoundedMap<Ino, Stream>(STREAMS);

  /**
   * Notes a read of [offset, end). Returns the range to fetch now, [from, to), or undefined if the reader jumps about or
   * enough was fetched before.
   */
  next(
    ino: Ino,
    offset: number,
    end: number,
    size: number,
  ): { readonly from: number; readonly to: number } | undefined {
    const stream = this.#streams.get(ino);
    if (stream === undefined || !follows(stream, offset)) {
      this.#streams.set(ino, { end, fetched: end, window: READ_AHEAD_FIRST_BYTES });
      return undefined;
    }
    stream.end = end;
    // Half a window before its end, so that the next one arrives in time.
    if (stream.fetched - end > stream.window / 2 || stream.fetched >= size) return undefined;
    const from = Math.max(end, stream.fetched);
    stream.fetched = Math.min(size, from + stream.window);
    stream.window = Math.min(2 * stream.window, READ_AHEAD_MAX_BYTES);
    return { from, to: stream.fetched };
  }

  /** Whether a known reader continues here. */
  goesOn(ino: Ino, offset: number): boolean {
    const stream = this.#streams.get(ino);
    return stream !== undefined && follows(stream, offset);
  }

  forget(ino: Ino): void {
    this.#streams.delete(ino);
  }
}

/** The kernel may read slightly out of order, and may repeat reads. */
function follows({ end, window }: Stream, offset: number): boolean {
  return offset >= end - window && offset <= end + window / 2;
}
