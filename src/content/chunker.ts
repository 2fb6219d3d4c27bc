/**
 * Cuts a file's bytes into chunks and holes, as they stream by.
 *
 * The longest runs of zeros of at least `minHole` bytes are holes; between them is data. Each run of data is cut from its
 * own start by a gear hash: h = 2h + gear[byte] over 32 bits, so that h depends on the last 32 bytes (the scheme of
 * FastCDC, Xia and others, USENIX ATC 2016, with normalized chunk sizes). So a chunk depends on nothing before its start,
 * and on fewer than `minHole` bytes after its end: edits rely on that.
 */
import type { Cid } from "../base/ids.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { ContentConfig, CutRule } from "./config.ts";
import { findCut } from "./gear.ts";
import { findZeros, zerosEnd } from "./zeros.ts";

export type Piece =
  | { readonly kind: "chunk"; readonly bytes: Uint8Array; readonly cid: Cid | undefined }
  | { readonly kind: "old"; readonly entry: ListEntry }
  | { readonly kind: "hole"; readonly length: number };

/** A stretch of a file: bytes, or a count of zeros. */
export type Stretch = Uint8Array | number;

/** Chunks cut by the same rule that may recur; notified of every cut. */
export interface KnownChunks {
  /** The likely length of the chunk that begins at the last cut; undefined if unknown. */
  readonly length: number | undefined;
  /** The known chunk if these are its bytes, starting at the last cut; a cut follows them then. */
  recognise(bytes: Uint8Array): ListEntry | undefined;
  /** Records a chunk found by searching; returns its CID, and its entry if it is known. */
  found(bytes: Uint8Array): { readonly cid: Cid; readonly old: ListEntry | undefined };
  /** Records a hole. */
  passed(length: number): void;
}

const NOTHING = new Uint8Array(0);

export class Chunker {
  readonly #rule: CutRule;
  readonly #gear: Int32Array;
  /** Bytes not cut yet, which must be at hand. Grows up to `#most` bytes. */
  #buffer: Uint8Array;
  readonly #most: number;
  readonly #old: KnownChunks | undefined;
  /** Start of the current chunk. */
  #start = 0;
  /** Everything before this is data; from here to #end there are only zeros, fewer than a hole needs. */
  #clear = 0;
  #end = 0;
  /** The gear hash found no cut before this. */
  #searched = 0;
  /** The current chunk differs from the expected old one. */
  #isNew = false;
  /** Length of the hole in progress, with an empty buffer; else 0. */
  #hole = 0;
  #pieces: Piece[] = [];

  /** `size`: the number of bytes to come, if known. `old`: known chunks are neither searched nor hashed twice. */
  constructor(config: ContentConfig, rule: CutRule, size = 0, old?: KnownChunks) {
    this.#old = old;
    this.#rule = rule;
    this.#gear = config.gear;
    this.#most = mostBytes(rule);
    this.#buffer = takeBuffer(bufferBytes(rule, size));
  }

  /** Takes the next stretch; returns the pieces that are final by now, each a copy. */
  push(stretch: Stretch): Piece[] {
    if (typeof stretch === "number") this.#pushZeros(stretch);
    else this.#pushBytes(stretch);
    return this.#taken();
  }

  /** Returns the rest, and resets the chunker. */
  finish(): Piece[] {
    this.#endData(this.#end);
    this.#endHole();
    leaveBuffer(this.#buffer);
    this.#buffer = NOTHING;
    return this.#taken();
  }

  /** Discards bytes pushed but not cut yet. */
  reset(): void {
    this.#start = this.#clear = this.#end = this.#searched = this.#hole = 0;
    this.#isNew = false;
  }

  #pushZeros(length: number): void {
    if (this.#hole > 0) {
      this.#hole += length;
    } else if (this.#end - this.#clear + length >= this.#rule.minHole) {
      const hole = this.#end - this.#clear + length;
      this.#endData(this.#clear);
      this.#hole = hole;
    } else {
      this.#makeRoom(length);
      this.#buffer.fill(0, this.#end, this.#end + length);
      this.#end += length;
    }
  }

  #pushBytes(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#hole > 0) {
        const end = zerosEnd(bytes, at, bytes.length);
        this.#hole += end - at;
        at = end;
        if (at === bytes.length) return;
        this.#endHole();
      }
      this.#makeRoom(Math.min(bytes.length - at, COPY_BYTES));
      const count = Math.min(bytes.length - at, this.#buffer.length - this.#end);
      this.#buffer.set(bytes.subarray(at, at + count), this.#end);
      this.#end += count;
      at += count;
      this.#divide();
    }
  }

  /** Divides the buffer into data and holes, and cuts what is known to be data. */
  #divide(): void {
    while (this.#clear < this.#end) {
      const run = findZeros(this.#buffer, this.#clear, this.#end, this.#rule.minHole);
      const runEnd = zerosEnd(this.#buffer, run, this.#end);
      if (runEnd - run < this.#rule.minHole) {
        this.#clear = run;
        this.#cut(run, false);
        return;
      }
      const end = this.#end;
      this.#endData(run);
      this.#hole = runEnd - run;
      if (runEnd === end) return;
      this.#endHole();
      this.#start = this.#clear = this.#searched = runEnd;
      this.#end = end;
    }
  }

  /** Data ends at `limit`, by a hole or the end of the file: cuts the rest of it, and empties the buffer. */
  #endData(limit: number): void {
    this.#cut(limit, true);
    if (limit > this.#start) this.#emitChunk(limit);
    this.#start = this.#clear = this.#end = this.#searched = 0;
    this.#isNew = false;
  }

  #endHole(): void {
    if (this.#hole > 0) {
      this.#pieces.push({ kind: "hole", length: this.#hole });
      this.#old?.passed(this.#hole);
    }
    this.#hole = 0;
  }

  /** `ends`: the data ends at `limit`. */
  #cut(limit: number, ends: boolean): void {
    for (;;) {
      const expected = this.#expected();
      if (expected > limit && !ends) return;
      if (expected > 0 && expected <= limit && this.#takeOld(expected)) continue;
      this.#isNew = expected > 0 || this.#isNew;
      const cut = this.#findCut(limit);
      if (cut === 0) return;
      this.#emitChunk(cut);
    }
  }

  /** Where the current chunk ends if it is the expected old one; 0 if none is expected. */
  #expected(): number {
    if (this.#old === undefined || this.#isNew || this.#searched > this.#start) return 0;
    const { length = Infinity } = this.#old;
    return length > this.#rule.max ? 0 : this.#start + length;
  }

  #takeOld(end: number): boolean {
    const entry = this.#old?.recognise(this.#buffer.subarray(this.#start, end));
    if (entry === undefined) return false;
    this.#pieces.push({ kind: "old", entry });
    this.#start = this.#searched = end;
    return true;
  }

  /** Where the current chunk ends, at most at `limit`; 0 if unknown so far. */
  #findCut(limit: number): number {
    const { min, normal, max, rareMask, frequentMask } = this.#rule;
    const first = this.#start + min;
    const from = Math.max(first, this.#searched);
    if (from >= limit) return 0;
    const [bytes, gear] = [this.#buffer, this.#gear];
    const middle = Math.min(limit, this.#start + normal);
    const last = Math.min(limit, this.#start + max);
    const cut =
      findCut(bytes, gear, first, from, middle, rareMask) ||
      findCut(bytes, gear, first, Math.max(from, middle), last, frequentMask);
    if (cut > 0) return cut;
    this.#searched = last;
    return last === this.#start + max ? last : 0;
  }

  #emitChunk(end: number): void {
    const { cid, old } = this.#old?.found(this.#buffer.subarray(this.#start, end)) ?? {};
    if (old !== undefined) this.#pieces.push({ kind: "old", entry: old });
    else this.#pieces.push({ kind: "chunk", bytes: this.#buffer.slice(this.#start, end), cid });
    this.#start = this.#searched = end;
    this.#isNew = false;
  }

  /** Makes room for `bytes` more. Small edits never need a large buffer, which would become garbage. */
  #makeRoom(bytes: number): void {
    if (this.#buffer.length - this.#end >= bytes) return;
    const held = this.#buffer.subarray(this.#start, this.#end);
    if (this.#buffer.length - held.length < bytes) {
      this.#buffer = new Uint8Array(Math.max(Math.min(2 * this.#buffer.length, this.#most), held.length + bytes));
    }
    this.#buffer.set(held);
    this.#clear -= this.#start;
    this.#end -= this.#start;
    this.#searched -= this.#start;
    this.#start = 0;
  }

  #taken(): Piece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
}

/** For the next file: a thousand small files would leave a thousand buffers as garbage. */
let spare: Uint8Array = NOTHING;

function takeBuffer(bytes: number): Uint8Array {
  if (spare.length < bytes) return new Uint8Array(bytes);
  const taken = spare;
  spare = NOTHING;
  return taken;
}

function leaveBuffer(buffer: Uint8Array): void {
  if (buffer.length > spare.length && buffer.length <= SPARE_BYTES) spare = buffer;
}

const SPARE_BYTES = 1024 * 1024;
const COPY_BYTES = 256 * 1024;

function mostBytes({ max, minHole }: CutRule): number {
  return 2 * (max + minHole) + COPY_BYTES;
}

/** Bytes of memory that cutting a file of this size takes. */
export function bufferBytes(rule: CutRule, size: number): number {
  return Math.min(mostBytes(rule), size);
}
