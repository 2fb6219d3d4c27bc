/** Reads the journal at a start: returns frames in order, drops a torn end, and reports damage. */
import type { SynclineError } from "../../base/errors.ts";
import { corruptState } from "../data/bytes.ts";
import { findFrames, readFrame, readSegmentHeader, SEGMENT_HEADER_BYTES } from "./journal-frame.ts";
import type { Frame, SegmentHeader } from "./journal-frame.ts";
import type { OverlayStorage, StoredFile } from "../disk/storage.ts";

export interface FoundSegment {
  readonly name: string;
  readonly file: StoredFile;
  readonly bytes: number;
  /** Its last valid frame; 0 if it has none. */
  readonly last: number;
  /** The offset behind the last frame that was read in order. */
  readonly end: number;
}

export interface FoundJournal {
  /** In the order of their frames. */
  readonly segments: readonly FoundSegment[];
  /** The last valid frame. */
  readonly last: number;
  /** Greater than the number of any frame, dropped ones included. */
  readonly nextNumber: number;
  /** Greater than the number in any segment's name. */
  readonly nextName: number;
}

interface Candidate {
  readonly name: string;
  readonly file: StoredFile;
  readonly bytes: number;
  header: SegmentHeader | undefined;
  last: number;
  /** The offset behind the last frame that was read in order. */
  end: number;
}

/**
 * Gives `replay` the payload of each frame after `checkpoint`, valid until it returns. Throws `state_corrupt` when durable frames are missing. A
 * bit that flips during a read looks like a torn end, though the frames were acknowledged: if frames remain behind the end,
 * the journal is read again.
 */
export function readJournal(
  storage: OverlayStorage,
  checkpoint: number,
  replay: (payload: Uint8Array) => void,
): FoundJournal {
  const candidates = openSegments(storage);
  // One buffer for all: each fresh one would cost page faults and a collection of garbage.
  const buffer = Buffer.allocUnsafe(Math.max(0, ...candidates.map(({ bytes }) => bytes)));
  let last = checkpoint;
  let seen: readonly SeenFrames[] = [];
  for (let reads = 0; reads < MOST_READS; reads++) {
    for (const candidate of inOrder(candidates)) {
      if (candidate.header === undefined || candidate.header.follows > last) continue;
      for (const frame of framesInOrder(candidate, buffer)) {
        if (frame.number <= last) continue;
        replay(frame.payload);
        last = frame.number;
        candidate.last = last;
      }
    }
    seen = candidates.map((candidate) => framesSeen(candidate, last, buffer));
    if (seen.every(({ greatest, isDamaged }) => greatest <= last && !isDamaged)) break;
    for (const candidate of candidates) candidate.header = headerOf(candidate.file);
  }
  for (const [index, candidate] of candidates.entries()) if (seen[index]?.isDamaged === true) throw damaged(candidate);
  // Reusing a number would bring back the dropped frame: a frame that a flipped bit hid from one read is seen in another.
  const looks = [...seen, ...candidates.map((candidate) => framesSeen(candidate, last, buffer))];
  const greatest = Math.max(last, ...looks.map((each) => each.greatest));
  const nextName = 1 + Math.max(0, ...candidates.map(({ name }) => Number(name)));
  return { segments: inOrder(candidates), last, nextNumber: 1 + greatest, nextName };
}

/** A frame still missing after this many reads is torn or permanently damaged. */
const MOST_READS = 3;

function openSegments(storage: OverlayStorage): Candidate[] {
  const candidates: Candidate[] = [];
  for (const name of storage.list("journal").filter((entry) => /^\d{8,}$/.test(entry))) {
    const file = storage.openFile("journal", name, false);
    if (file !== undefined)
      candidates.push({ name, file, bytes: file.size(), header: headerOf(file), last: 0, end: 0 });
  }
  return candidates;
}

function headerOf(file: StoredFile): SegmentHeader | undefined {
  const head = Buffer.alloc(SEGMENT_HEADER_BYTES);
  return file.read(0, head) === head.length ? readSegmentHeader(head) : undefined;
}

function inOrder(candidates: readonly Candidate[]): Candidate[] {
  return candidates.toSorted((a, b) => (a.header?.first ?? Infinity) - (b.header?.first ?? Infinity));
}

/** Its frames are in `buffer`. */
function* framesInOrder(candidate: Candidate, buffer: Buffer): Generator<Frame> {
  const segment = contentsOf(candidate, buffer);
  const salts = saltsOf(segment, candidate.header);
  let number = candidate.header?.first;
  for (let at = SEGMENT_HEADER_BYTES; number !== undefined; number++) {
    const frame = readFrame(segment, at);
    if (frame === undefined || frame.number !== number || salts?.has(frame.salt) !== true) return;
    yield frame;
    at = frame.end;
    candidate.end = Math.max(candidate.end, at);
  }
}

function contentsOf({ file, bytes }: Candidate, buffer: Buffer): Buffer {
  return buffer.subarray(0, file.read(0, buffer.subarray(0, bytes)));
}

interface SeenFrames {
  /** The greatest number of any whole frame behind `end`; 0 if there is none. */
  readonly greatest: number;
  /** A frame after `last` was written when the one right after `last` was durable: that one is damaged, not torn. */
  readonly isDamaged: boolean;
}

function framesSeen(candidate: Candidate, last: number, buffer: Buffer): SeenFrames {
  const { header, end } = candidate;
  let greatest = 0;
  const segment = contentsOf(candidate, buffer);
  let isDamaged = header !== undefined && header.first > last && header.synced > last;
  for (const { number, synced } of findFrames(segment, end, saltsOf(segment, header))) {
    if (number > last && synced > last) isDamaged = true;
    greatest = Math.max(greatest, number);
  }
  return { greatest, isDamaged };
}

/**
 * The salts of its header and of its first frame. Either may be torn or have a flipped bit, and users' bytes are never
 * stored where a segment's first frame is. Undefined, meaning any, if there is no header.
 */
function saltsOf(segment: Buffer, header: SegmentHeader | undefined): ReadonlySet<number> | undefined {
  if (header === undefined) return undefined;
  const frame = readFrame(segment, SEGMENT_HEADER_BYTES);
  return new Set(frame?.number === header.first ? [header.salt, frame.salt] : [header.salt]);
}

function damaged({ name }: Candidate): SynclineError {
  return corruptState(`The overlay's journal is damaged: durable records before segment ${name} are missing.`);
}
