/**
 * Frames and segment headers of the journal. A frame holds the records of one commit:
 *
 *     magic u32 | payload length u32 | number f64 | synced f64 | crc32 u32 | salt u32 | payload, padded to 8 bytes
 *
 * `number` ascends and is never reused: old bytes in a recycled segment are never mistaken for new frames. `synced` is
 * the last frame that was durable when this one was written: a hole below it is damage, a hole above it may come from
 * power loss. The checksum covers everything before it and the payload. A segment begins with:
 *
 *     magic u32 | version u32 | first f64 | follows f64 | synced f64 | crc32 u32 | salt u32
 *
 * Numbers ascend by one inside a segment. `follows` is the frame before its first one: after a torn end was dropped,
 * numbering continues above every number ever seen, so that dropped frames never fit again.
 *
 * Payloads hold users' bytes, which may look like frames. A segment's frames have its salt, which users cannot know: other
 * data is not a frame. Older versions wrote 0. Checksums omit the salt, so older versions can read these journals.
 */
import { crc32 } from "node:zlib";
import { RangeChecksums } from "../../base/range-checksums.ts";

export const FRAME_HEADER_BYTES = 32;
export const SEGMENT_HEADER_BYTES = 40;

const FRAME_MAGIC = 0x464a_4c53;
const SEGMENT_MAGIC = 0x534a_4c53;
export const JOURNAL_VERSION = 2;
const CRC_AT = 24;
const SALT_AT = 28;
const SEGMENT_CRC_AT = 32;
const SEGMENT_SALT_AT = 36;
const ALIGNMENT = 8;

export interface Frame {
  readonly number: number;
  readonly synced: number;
  readonly salt: number;
  readonly payload: Buffer;
  /** Offset of the next frame. */
  readonly end: number;
}

export interface SegmentHeader {
  /** The number of its first frame. */
  readonly first: number;
  /** The number of the frame before `first`, in another segment; 0 for the first frame of all. */
  readonly follows: number;
  readonly synced: number;
  /** 32 bits, the same in all of its frames. */
  readonly salt: number;
}

export function alignedFrameBytes(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

/** Fills in the header of a frame whose payload starts at FRAME_HEADER_BYTES and is padded to `alignedFrameBytes`. */
export function sealFrame(
  frame: Buffer,
  payloadBytes: number,
  { number, synced, salt }: Pick<Frame, "number" | "synced" | "salt">,
): void {
  frame.writeUInt32LE(FRAME_MAGIC, 0);
  frame.writeUInt32LE(payloadBytes, 4);
  frame.writeDoubleLE(number, 8);
  frame.writeDoubleLE(synced, 16);
  frame.writeUInt32LE(salt, SALT_AT);
  const payload = frame.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + payloadBytes);
  frame.writeUInt32LE(crc32(payload, crc32(frame.subarray(0, CRC_AT))), CRC_AT);
}

/**
 * The frame at this offset, or undefined if there is no whole one. With `checksums` of the segment, a frame costs the same
 * whatever its length.
 */
export function readFrame(segment: Buffer, at: number, checksums?: RangeChecksums): Frame | undefined {
  if (at + FRAME_HEADER_BYTES > segment.length || segment.readUInt32LE(at) !== FRAME_MAGIC) return undefined;
  const payloadBytes = segment.readUInt32LE(at + 4);
  const end = at + alignedFrameBytes(FRAME_HEADER_BYTES + payloadBytes);
  if (end > segment.length) return undefined;
  const start = at + FRAME_HEADER_BYTES;
  const payload = segment.subarray(start, start + payloadBytes);
  const head = crc32(segment.subarray(at, at + CRC_AT));
  const crc = checksums?.of(start, start + payloadBytes, head) ?? crc32(payload, head);
  if (segment.readUInt32LE(at + CRC_AT) !== crc) return undefined;
  const salt = segment.readUInt32LE(at + SALT_AT);
  return { number: segment.readDoubleLE(at + 8), synced: segment.readDoubleLE(at + 16), salt, payload, end };
}

/**
 * All whole frames from `at` on with one of these salts, or with any salt, whatever lies between them. A false header costs
 * no more than a small frame.
 */
export function* findFrames(segment: Buffer, at: number, salts?: ReadonlySet<number>): Generator<Frame> {
  const checksums = new RangeChecksums(segment);
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(FRAME_MAGIC);
  for (let from = at; (from = segment.indexOf(magic, from)) >= 0;) {
    const frame = from % ALIGNMENT === 0 ? readFrame(segment, from, checksums) : undefined;
    const counts = frame !== undefined && salts?.has(frame.salt) !== false;
    if (counts) yield frame;
    from = counts ? frame.end : from + 1;
  }
}

export function segmentHeader({ first, follows, synced, salt }: SegmentHeader): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  header.writeUInt32LE(SEGMENT_MAGIC, 0);
  header.writeUInt32LE(JOURNAL_VERSION, 4);
  header.writeDoubleLE(first, 8);
  header.writeDoubleLE(follows, 16);
  header.writeDoubleLE(synced, 24);
  header.writeUInt32LE(crc32(header.subarray(0, SEGMENT_CRC_AT)), SEGMENT_CRC_AT);
  header.writeUInt32LE(salt, SEGMENT_SALT_AT);
  return header;
}

/** Undefined for a segment that was never begun, or whose header is torn or damaged. */
export function readSegmentHeader(segment: Buffer): SegmentHeader | undefined {
  if (segment.length < SEGMENT_HEADER_BYTES || segment.readUInt32LE(0) !== SEGMENT_MAGIC) return undefined;
  const sealed = segment.readUInt32LE(SEGMENT_CRC_AT) === crc32(segment.subarray(0, SEGMENT_CRC_AT));
  if (segment.readUInt32LE(4) !== JOURNAL_VERSION || !sealed) return undefined;
  return {
    first: segment.readDoubleLE(8),
    follows: segment.readDoubleLE(16),
    synced: segment.readDoubleLE(24),
    salt: segment.readUInt32LE(SEGMENT_SALT_AT),
  };
}
