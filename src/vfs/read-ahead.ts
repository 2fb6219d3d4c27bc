/**
 * How far ahead of a reader contents are fetched: the distance doubles with each sequential read, up to a bound that concurrent
 * readers share.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Ino } from "../base/ids.ts";
import { missingBlocks } from "../content/read.ts";
import { codecOf } from "../format/blocks/cid.ts";
import type { FileRecord } from "../format/files/record.ts";
import type { Loader } from "./loader.ts";
import { READ_AHEAD_FIRST_BYTES, READ_AHEAD_MAX_BYTES } from "../base/limits.ts";

interface Stream {
  /** Where the farthest read began. */
  start: number;
  /** Where the farthest read ended. */
  end: number;
  /** The end of what was fetched. */
  fetched: number;
  window: number;
}

type Contents = Pick<FileRecord, "content" | "size">;

const STREAMS = 256;

export class ReadAhead {
  readonly #streams = new BoundedMap<Ino, Stream>(STREAMS);
  readonly #readers = new RecentReaders();

  /** Notes a read of [offset, end), and fetches what this reader will want. */
  fetch(loader: Loader, ino: Ino, { content, size }: Contents, offset: number, end: number): void {
    const range = content.kind === "list" ? this.next(ino, offset, end, size) : undefined;
    if (range === undefined) return;
    const { from, to } = range;
    const missing = missingBlocks(loader.content, content, size, from, to - from);
    loader.readAhead(missing);
    // Which chunks a node lists is unknown until it has arrived.
    if (missing.some((cid) => codecOf(cid) !== "raw")) this.again(ino, from);
  }

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
    if (stream === undefined || !follows(stream, offset, end)) {
      const window = Math.max(READ_AHEAD_FIRST_BYTES, 2 * (end - offset));
      this.#streams.set(ino, { start: offset, end, fetched: end, window });
      return undefined;
    }
    // A read that waited for its blocks is made again. That does not count as a second read.
    if (offset >= stream.start && end <= stream.end) return undefined;
    if (end > stream.end) [stream.start, stream.end] = [offset, end];
    this.#readers.note(ino);
    // Blocks that many readers fetch far ahead would displace one another from memory before they are read.
    const share = Math.max(READ_AHEAD_FIRST_BYTES, READ_AHEAD_MAX_BYTES / this.#readers.count);
    const window = Math.min(stream.window, share);
    // Half a window before its end, so that the next one arrives in time.
    if (stream.fetched - stream.end > window / 2 || stream.fetched >= size) return undefined;
    const from = Math.max(stream.end, stream.fetched);
    stream.fetched = Math.min(size, from + window);
    stream.window = Math.min(2 * stream.window, READ_AHEAD_MAX_BYTES);
    return { from, to: stream.fetched };
  }

  /** What `next` returned could not be fetched from here on: `next` returns it again. */
  again(ino: Ino, from: number): void {
    const stream = this.#streams.get(ino);
    if (stream !== undefined) stream.fetched = Math.min(stream.fetched, from);
  }

  /** Whether a known reader continues here. */
  goesOn(ino: Ino, offset: number): boolean {
    const stream = this.#streams.get(ino);
    return stream !== undefined && follows(stream, offset, offset);
  }

  forget(ino: Ino): void {
    this.#streams.delete(ino);
  }
}

/** The files of the last sequential reads. */
class RecentReaders {
  readonly #reads: Ino[] = [];
  readonly #times = new Map<Ino, number>();
  #next = 0;

  get count(): number {
    return this.#times.size;
  }

  note(ino: Ino): void {
    const oldest = this.#reads[this.#next];
    if (oldest !== undefined) this.#add(oldest, -1);
    this.#reads[this.#next] = ino;
    this.#next = (this.#next + 1) % RECENT_READS;
    this.#add(ino, 1);
  }

  #add(ino: Ino, more: number): void {
    const times = (this.#times.get(ino) ?? 0) + more;
    if (times === 0) this.#times.delete(ino);
    else this.#times.set(ino, times);
  }
}

const RECENT_READS = 64;

/** The kernel has several reads of one reader under way, and repeats those that waited. So reads arrive in any order. */
function follows({ end, window }: Stream, offset: number, to: number): boolean {
  const underWay = READS_UNDER_WAY * (to - offset);
  return offset >= end - Math.max(window, underWay) && offset <= end + Math.max(window / 2, underWay);
}

/** How many reads of one reader may be under way at a time. */
const READS_UNDER_WAY = 12;
