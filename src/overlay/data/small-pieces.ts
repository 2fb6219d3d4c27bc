/**
 * Storage of small files: those of one epoch share files `small.<epoch>.<part>`, which hold entries
 *
 *     magic u32 | length u32 | ino f64 | offset f64 | crc32 u32 | 0 u32 | bytes, padded to 8
 *
 * A later entry wins where it overlaps an earlier one. Length 0xffffffff: from here on the inode's bytes are in a file of
 * its own. An inode's entries are all in one shared file, so they go together with that mark. The checksum covers the fields before it; entries end where there is no whole header.
 */
import { crc32 } from "node:zlib";
import type { Ino } from "../../base/ids.ts";
import type { OverlayStorage, StoredFile } from "../disk/storage.ts";
import { parseSmallName } from "./data-file-names.ts";

/** Bytes [offset, offset + length) of a file, stored in a shared file at `at`. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly part: string;
  readonly at: number;
}

export interface SmallEntry {
  readonly ino: Ino;
  readonly offset: number;
  /** Undefined: the inode has a file of its own now. */
  readonly length: number | undefined;
  /** Where the entry's bytes begin, and where the next entry begins. */
  readonly at: number;
  readonly end: number;
}

export const ENTRY_HEADER_BYTES = 32;
const MAGIC = 0x4644_4c53;
const MOVED = 0xffff_ffff;
const CRC_AT = 24;

/** The total length of an entry. */
export function entryBytes(length: number): number {
  return ENTRY_HEADER_BYTES + Math.ceil(length / 8) * 8;
}

/** `length` undefined records that the inode's bytes are elsewhere now. */
export function writeEntryHeader(target: Buffer, ino: Ino, offset: number, length: number | undefined): void {
  target.writeUInt32LE(MAGIC, 0);
  target.writeUInt32LE(length ?? MOVED, 4);
  target.writeDoubleLE(ino, 8);
  target.writeDoubleLE(offset, 16);
  target.writeUInt32LE(crc32(target.subarray(0, CRC_AT)), CRC_AT);
  target.writeUInt32LE(0, CRC_AT + 4);
}

/** Most entries are much smaller: one read serves several. */
const READ_BYTES = 16 * 1024;

/** The entries of a shared file in order. Power loss may have cut the last one short. */
export function* readEntries(file: StoredFile): Generator<SmallEntry> {
  const size = file.size();
  const window = Buffer.allocUnsafe(READ_BYTES);
  let [from, filled] = [0, 0];
  for (let at = 0; ;) {
    if (at + ENTRY_HEADER_BYTES > from + filled) {
      [from, filled] = [at, file.read(at, window)];
      if (filled < ENTRY_HEADER_BYTES) return;
    }
    const header = window.subarray(at - from, at - from + ENTRY_HEADER_BYTES);
    if (header.readUInt32LE(0) !== MAGIC || header.readUInt32LE(CRC_AT) !== crc32(header.subarray(0, CRC_AT))) return;
    const length = header.readUInt32LE(4);
    const end = at + entryBytes(length === MOVED ? 0 : length);
    const ino = header.readDoubleLE(8) as Ino;
    const offset = header.readDoubleLE(16);
    const start = at + ENTRY_HEADER_BYTES;
    if (length !== MOVED && start >= size) return;
    yield { ino, offset, length: length === MOVED ? undefined : Math.min(length, size - start), at: start, end };
    at = end;
  }
}

/** The pieces of one file's bytes: sorted, not overlapping. A write at the end costs O(1), another O(log n) and a move. */
export class Pieces {
  #pieces: Piece[] = [];
  /** The first shared file with entries of the inode, and the others: only states of older versions have any. */
  #part: string | undefined;
  #others: readonly string[] = [];
  /** Bytes written so far, including overwritten ones. */
  written = 0;
  /** An fsync of these bytes was answered: moving them must not lose them. */
  isPromised = false;

  /** The shared files with entries of the inode, also if all of their bytes were replaced. */
  get parts(): readonly string[] {
    return this.#part === undefined ? [] : [this.#part, ...this.#others];
  }

  isIn(part: string): boolean {
    return this.#part === part || this.#others.includes(part);
  }

  all(): readonly Piece[] {
    return this.#pieces;
  }

  /** Where the last one ends. */
  get end(): number {
    const last = this.#pieces.at(-1);
    return last === undefined ? 0 : endOf(last);
  }

  /** The piece that holds all of [offset, offset + length). */
  holding(offset: number, length: number): Piece | undefined {
    const piece = this.#pieces[this.#endingAfter(offset)];
    return piece !== undefined && piece.offset <= offset && endOf(piece) >= offset + length ? piece : undefined;
  }

  /** Replaces what it overlaps. */
  put(piece: Piece): void {
    this.written += piece.length;
    if (this.#part === undefined) {
      this.#part = piece.part;
      // Most files are written once: no spare room is kept.
      this.#pieces = [piece];
      return;
    }
    if (!this.isIn(piece.part)) this.#others = [...this.#others, piece.part];
    const from = this.#endingAfter(piece.offset);
    let to = from;
    const kept = [piece];
    for (let other = this.#pieces[to]; other !== undefined && other.offset < endOf(piece); other = this.#pieces[++to]) {
      if (other.offset < piece.offset) kept.unshift(cut(other, other.offset, piece.offset));
      if (endOf(other) > endOf(piece)) kept.push(cut(other, endOf(piece), endOf(other)));
    }
    this.#pieces.splice(from, to - from, ...kept);
  }

  /** Copies the pieces' bytes from `offset` on into `target`; the rest of `target` is unchanged. */
  read(offset: number, target: Uint8Array, open: (part: string) => StoredFile | undefined): void {
    const end = offset + target.length;
    for (let index = this.#endingAfter(offset); index < this.#pieces.length; index++) {
      const piece = this.#pieces[index];
      if (piece === undefined || piece.offset >= end) return;
      const from = Math.max(offset, piece.offset);
      const to = Math.min(end, endOf(piece));
      open(piece.part)?.read(piece.at + from - piece.offset, target.subarray(from - offset, to - offset));
    }
  }

  /** The index of the first piece that ends after `offset`. */
  #endingAfter(offset: number): number {
    const last = this.#pieces.at(-1);
    if (last === undefined || endOf(last) <= offset) return this.#pieces.length;
    let [low, high] = [0, this.#pieces.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const piece = this.#pieces[middle];
      if (piece !== undefined && endOf(piece) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The shared files of all epochs, in the order in which they were written. */
export function smallFilesOf(storage: OverlayStorage): { name: string; epoch: number; part: number }[] {
  const found = storage.list("data").flatMap((name) => {
    const parsed = parseSmallName(name);
    return parsed === undefined ? [] : [{ name, ...parsed }];
  });
  return found.sort((a, b) => a.epoch - b.epoch || a.part - b.part);
}

function endOf({ offset, length }: Piece): number {
  return offset + length;
}

function cut(piece: Piece, from: number, to: number): Piece {
  return { offset: from, length: to - from, part: piece.part, at: piece.at + from - piece.offset };
}
