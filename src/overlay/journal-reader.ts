/** Reads the journal at a start: frames in order, the torn end dropped, damage told from it. */
import type { SynclineError } from "../base/errors.ts";
import { corruptState } from "./bytes.ts";
import { findFrames, readFrame, readSegmentHeader, SEGMENT_HEADER_BYTES } from "./journal-frame.ts";
import type { Frame, SegmentHeader } from "./journal-frame.ts";
import type { OverlayStorage, StoredFile } from "./storage.ts";

export interface FoundSegment {
  readonly name: string;
  readonly file: StoredFile;
  readonly bytes: number;
  /** The last frame in it that counts; 0 when it has none. */
  readonly last: number;
}

export interface FoundJournal {
  /** In the order of their frames. */
  readonly segments: readonly FoundSegment[];
  /** The last frame that counts. */
  readonly last: number;
  /** No frame has this number or a greater one, not even a dropped one. */
  readonly nextNumber: number;
  /** No segment has this number or a greater one for a name. */
  readonly nextName: number;
}

interface Candidate {
  readonly name: string;
  readonly file: StoredFile;
  readonly bytes: number;
  readonly header: SegmentHeader | undefined;
  last: number;
}

/** Gives `replay` the payload of each frame after `checkpoint`. Throws `state_corrupt` when durable frames are missing. */
export function readJournal(
  storage: OverlayStorage,
  checkpoint: number,
  replay: (payload: Uint8Array) => void,
): FoundJournal {
  const candidates = openSegments(storage);
  let last = checkpoint;
  for (const candidate of candidates) {
    if (candidate.header === undefined || candidate.header.follows > last) continue;
    for (const frame of framesInOrder(candidate)) {
      if (frame.number <= last) continue;
      replay(frame.payload);
      last = frame.number;
      candidate.last = last;
    }
  }
  const seen = candidates.map((candidate) => greatestFrame(candidate, last));
  const nextName = 1 + Math.max(0, ...candidates.map(({ name }) => Number(name)));
  return { segments: candidates, last, nextNumber: 1 + Math.max(last, ...seen), nextName };
}

function openSegments(storage: OverlayStorage): Candidate[] {
  const candidates: Candidate[] = [];
  for (const name of storage.list("journal").filter((entry) => /^\d{8,}$/.test(entry))) {
    const file = storage.openFile("journal", name, false);
    if (file === undefined) continue;
    const head = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const header = file.read(0, head) === head.length ? readSegmentHeader(head) : undefined;
    candidates.push({ name, file, bytes: file.size(), header, last: 0 });
  }
  return candidates.sort((a, b) => (a.header?.first ?? Infinity) - (b.header?.first ?? Infinity));
}

function* framesInOrder(candidate: Candidate): Generator<Frame> {
  const segment = contentsOf(candidate);
  let number = candidate.header?.first;
  for (let at = SEGMENT_HEADER_BYTES; number !== undefined; number++) {
    const frame = readFrame(segment, at);
    if (frame === undefined || frame.number !== number) return;
    yield frame;
    at = frame.end;
  }
}

function contentsOf({ file, bytes }: Candidate): Buffer {
  const contents = Buffer.alloc(bytes);
  return contents.subarray(0, file.read(0, contents));
}

/**
 * The greatest number of any whole frame in the segment, 0 when it has none. Throws `state_corrupt` when a frame after
 * `last` was written after the one behind `last` was durable: that one was damaged then, not torn.
 */
function greatestFrame(candidate: Candidate, last: number): number {
  const { header } = candidate;
  let greatest = 0;
  for (const { number, synced } of findFrames(contentsOf(candidate), 0)) {
    if (number > last && synced > last) throw damaged(candidate);
    greatest = Math.max(greatest, number);
  }
  if (header !== undefined && header.first > last && header.synced > last) throw damaged(candidate);
  return greatest;
}

function damaged({ name }: Candidate): SynclineError {
  return corruptState(`The overlay's journal is damaged: durable records before those in segment ${name} are missing.`);
}
