/** A changed file's bytes in order, as stretches of bytes and counts of zeros, read on demand. */
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import type { Content } from "../format/files/record.ts";
import type { Stretch } from "./chunker.ts";
import { visitRange } from "./list-range.ts";
import { checkChunk, streamContent } from "./read.ts";
import type { ContentSegment, ReadData } from "./segment.ts";
import { type ContentSource, loadChunk, loading } from "./source.ts";
import { stretchLength } from "./write.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";

/** A file made of segments over a base. */
export class ComposedFile {
  readonly #source: ContentSource;
  readonly #base: Content;
  readonly #baseSize: number;
  readonly #segments: readonly ContentSegment[];
  readonly #readData: ReadData;
  #buffers: readonly [Uint8Array, Uint8Array] = [NOTHING, NOTHING];

  constructor(
    source: ContentSource,
    base: Content,
    baseSize: number,
    segments: readonly ContentSegment[],
    readData: ReadData,
  ) {
    this.#source = source;
    this.#base = base;
    this.#baseSize = baseSize;
    this.#segments = segments;
    this.#readData = readData;
  }

  /** The file from `offset` to its end. A stretch's bytes are valid until the next one is requested. */
  async *stretches(offset: number): AsyncGenerator<Stretch> {
    for (const segment of this.#segments.slice(segmentIndex(this.#segments, offset))) {
      const from = Math.max(offset, segment.offset);
      const to = segment.offset + segment.length;
      if (segment.from === "hole") yield to - from;
      else if (segment.from === "data") yield* this.#data(segment.epoch, from, to);
      else yield* this.#baseStretches(from, to);
    }
  }

  /** Bytes of the first segment, which is data: in new memory, or in `target`. */
  async chunk(offset: number, length: number, target: Uint8Array | undefined): Promise<Uint8Array> {
    const read = await this.#readData(this.#segments[0]?.epoch ?? 0, offset, length, target);
    return typeof read === "number" ? new Uint8Array(length) : read;
  }

  /** Reads the next bytes while the last ones are cut. */
  async *#data(epoch: number, from: number, to: number): AsyncGenerator<Stretch> {
    let reading: Promise<Stretch> | undefined;
    for (let at = from; at < to;) {
      const stretch = await (reading ?? this.#read(epoch, at, to, to - at > READ_BYTES));
      at += stretchLength(stretch);
      reading = at < to ? this.#read(epoch, at, to, true) : undefined;
      // A caller that stops early does not see this error.
      reading?.catch(() => {});
      yield stretch;
    }
  }

  /** `isOfMany`: into reused memory; bytes read in one piece may be in the reader's memory already. */
  async #read(epoch: number, at: number, to: number, isOfMany: boolean): Promise<Stretch> {
    const length = Math.min(READ_BYTES, to - at);
    const read = await this.#readData(epoch, at, length, isOfMany ? this.#buffer(length) : undefined);
    if (typeof read === "number" ? read >= length : read.length === length)
      return typeof read === "number" ? Math.min(read, to - at) : read;
    throw new SynclineError("state_corrupt", `A data file of epoch ${epoch} ends before byte ${at + length}.`);
  }

  /** Alternates between two buffers: one is filled while the other is cut. */
  #buffer(length: number): Uint8Array {
    const spare = this.#buffers[0].length < length ? new Uint8Array(length) : this.#buffers[0];
    this.#buffers = [this.#buffers[1], spare];
    return spare;
  }

  async *#baseStretches(from: number, to: number): AsyncGenerator<Stretch> {
    const end = Math.max(from, Math.min(to, this.#baseSize));
    if (this.#base.kind === "list") yield* this.#listStretches(this.#base.cid, from, end);
    else yield* streamContent(this.#source, this.#base, this.#baseSize, from, end);
    if (to > end) yield to - end;
  }

  /** Chunk by chunk, so that no more is read than a cut needs; increasingly more at once. */
  async *#listStretches(root: Cid, from: number, to: number): AsyncGenerator<Stretch> {
    let at = from;
    for (let batch = 1; at < to; batch = Math.min(batch * 2, MAX_BATCH)) {
      const entries = await loading(this.#source, () => entriesAt(this.#source, root, at, to, batch));
      const chunks = entries.flatMap(({ entry }) => entry.cid ?? []);
      if (chunks.length > 1) await this.#source.load(chunks);
      for (const { start, entry } of entries) {
        const end = Math.min(start + entry.length, to);
        if (entry.cid === undefined) yield end - at;
        else yield await this.#chunkPart(entry, start, at, end);
        at = end;
      }
      if (entries.length === 0) break;
    }
    if (at < to) yield to - at;
  }

  async #chunkPart({ cid, length }: ListEntry, start: number, from: number, to: number): Promise<Uint8Array> {
    const bytes = cid && checkChunk(cid, await loadChunk(this.#source, cid), length);
    return (bytes ?? new Uint8Array(0)).subarray(from - start, to - start);
  }
}

/** Throws `internal` unless the segments cover [0, size) in order. */
export function checkSegments(segments: readonly ContentSegment[], size: number): void {
  let at = 0;
  for (const { offset, length } of segments) {
    if (offset !== at || length <= 0) break;
    at += length;
  }
  if (at !== size)
    throw new SynclineError("internal", `The segments of a changed file do not cover its ${size} bytes.`);
}

const NOTHING = new Uint8Array(0);
const READ_BYTES = 512 * 1024;
const MAX_BATCH = 16;

interface Placed {
  readonly start: number;
  readonly entry: ListEntry;
}

function entriesAt(source: ContentSource, root: Cid, from: number, to: number, count: number): Placed[] {
  const entries: Placed[] = [];
  visitRange(source, root, from, to, {
    entry: (start, entry) => entries.push({ start, entry }) < count,
    missing: (cid) => {
      throw new BlockMiss([cid]);
    },
  });
  return entries;
}

function segmentIndex(segments: readonly ContentSegment[], offset: number): number {
  const index = segments.findIndex((segment) => segment.offset + segment.length > offset);
  return index < 0 ? segments.length : index;
}
