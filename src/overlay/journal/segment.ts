/** A file of the journal. */
import type { StoredFile } from "../disk/storage.ts";
import { readFrame, readSegmentHeader, SEGMENT_HEADER_BYTES } from "./journal-frame.ts";

export interface Segment {
  readonly name: string;
  readonly file: StoredFile;
  readonly bytes: number;
  /** Whether its name is durable. */
  isNamed: boolean;
  /** Its last frame. */
  last: number;
  /** Bytes of an earlier process, until they are written again. */
  earlier: number;
}

/** Fills new segments piece by piece: fresh memory would be faulted in page by page. */
const ZEROS = new Uint8Array(256 * 1024);

/** Allocates the segment's space. Throws `disk_full`. */
export function fillWithZeros({ file, bytes }: Segment): void {
  for (let at = 0; at < bytes; at += ZEROS.length) file.write(at, ZEROS.subarray(0, bytes - at));
}

/**
 * Writes an earlier process's frames again: after a failed sync, the system may keep them in memory as if they were written,
 * and no later sync would write them. What a read returns damaged is not written. Throws `disk_full`, `store_failed`.
 */
export function rewriteEarlier(segment: Segment): void {
  const { file, earlier } = segment;
  if (earlier === 0) return;
  const bytes = Buffer.alloc(earlier);
  for (let reads = 0; reads < MOST_READS; reads++) {
    if (file.read(0, bytes) < earlier || !isWhole(bytes)) continue;
    file.write(0, bytes);
    break;
  }
  segment.earlier = 0;
}

/** A bit that flips during a read is not there in the next one. */
const MOST_READS = 3;

/** Whether a header and whole frames of its salt fill these bytes. */
function isWhole(bytes: Buffer): boolean {
  const header = readSegmentHeader(bytes);
  if (header === undefined) return false;
  for (let at = SEGMENT_HEADER_BYTES; at < bytes.length;) {
    const frame = readFrame(bytes, at);
    if (frame?.salt !== header.salt) return false;
    at = frame.end;
  }
  return true;
}
