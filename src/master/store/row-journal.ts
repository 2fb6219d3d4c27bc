/**
 * The journal of rows beside a growing pack (`<name>.rows`): where the blocks of each batch lie, since the pack has no
 * footer yet. One frame per batch:
 *
 *     magic u32 ‖ rows u32 ‖ number u32 ‖ start u32 ‖ crc32 u32 ‖ rows as in a footer (format/blocks/pack.ts)
 *
 * Little-endian. Numbers count from 0; `start` is where the batch begins in the pack: at the previous batch's end. The
 * checksum covers the rest of the frame. A frame is written once all earlier ones are durable, together with its blocks. So
 * after a crash only the last frame or its blocks can be torn.
 */
import { crc32 } from "node:zlib";
import { MAX_BLOCK_ACCEPTED } from "../../base/limits.ts";
import { RangeChecksums } from "../../base/range-checksums.ts";
import { PACK_ROW_BYTES, PackFooter, type PackRow, PLAIN, readRow, writeRow } from "../../format/blocks/pack.ts";

export interface RowFrame {
  readonly number: number;
  readonly start: number;
  readonly rows: readonly PackRow[];
  /** Where the frame begins and ends in the journal. */
  readonly at: number;
  readonly end: number;
}

export interface RowJournal {
  readonly frames: readonly RowFrame[];
  /** Where the next frame goes: anything after the last complete one is unfinished. */
  readonly end: number;
  /** Frames are missing before the last complete one: a crash cannot cause that. */
  readonly damaged: boolean;
  /** Bytes before, between and behind complete frames. */
  readonly lost: readonly Buffer[];
}

export function encodeFrame(number: number, start: number, rows: readonly PackRow[]): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + rows.length * PACK_ROW_BYTES);
  frame.writeUInt32LE(MAGIC, 0);
  frame.writeUInt32LE(rows.length, 4);
  frame.writeUInt32LE(number, 8);
  frame.writeUInt32LE(start, 12);
  for (const [index, row] of rows.entries()) writeRow(frame, HEADER_BYTES + index * PACK_ROW_BYTES, row);
  frame.writeUInt32LE(checksum(frame), CRC_AT);
  return frame;
}

/** All complete frames of a journal, even behind damage. False headers cost no more than a small frame. */
export function readJournal(bytes: Buffer): RowJournal {
  const checksums = new RangeChecksums(bytes);
  const frames: RowFrame[] = [];
  const lost: Buffer[] = [];
  let damaged = false;
  let end = 0;
  for (let at = 0; at < bytes.length;) {
    const frame = readFrame(bytes, at, checksums);
    if (frame === undefined) {
      at = nextMagic(bytes, at + 1);
      continue;
    }
    damaged ||= frame.at !== end || frame.number !== (frames.at(-1)?.number ?? -1) + 1;
    if (frame.at > end) lost.push(bytes.subarray(end, frame.at));
    frames.push(frame);
    at = end = frame.end;
  }
  if (end < bytes.length) lost.push(bytes.subarray(end));
  return { frames, end, damaged, lost };
}

/** Possible rows in damaged frames; the blocks' bytes must confirm them. */
export function* rowsPerhapsIn(bytes: Buffer): Generator<PackRow> {
  for (let at = 0; at + PACK_ROW_BYTES <= bytes.length; at++) {
    const row = readRow(bytes, at);
    if (row.codec === PLAIN && row.length <= MAX_BLOCK_ACCEPTED) yield row;
  }
}

/** "SLRW". */
const MAGIC = 0x5752_4c53;
const HEADER_BYTES = 20;
const CRC_AT = 16;

function readFrame(bytes: Buffer, at: number, checksums: RangeChecksums): RowFrame | undefined {
  if (at + HEADER_BYTES > bytes.length || bytes.readUInt32LE(at) !== MAGIC) return undefined;
  const end = at + HEADER_BYTES + bytes.readUInt32LE(at + 4) * PACK_ROW_BYTES;
  if (end > bytes.length) return undefined;
  const frame = bytes.subarray(at, end);
  if (frame.readUInt32LE(CRC_AT) !== checksums.of(at + HEADER_BYTES, end, headChecksum(frame))) return undefined;
  const rows = [...new PackFooter(frame.subarray(HEADER_BYTES))];
  return { number: frame.readUInt32LE(8), start: frame.readUInt32LE(12), rows, at, end };
}

function nextMagic(bytes: Buffer, from: number): number {
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(MAGIC);
  const at = bytes.indexOf(magic, from);
  return at < 0 ? bytes.length : at;
}

function checksum(frame: Buffer): number {
  return crc32(frame.subarray(HEADER_BYTES), headChecksum(frame));
}

function headChecksum(frame: Buffer): number {
  return crc32(frame.subarray(0, CRC_AT));
}
