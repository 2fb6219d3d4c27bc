/** A file of the journal. */
import { rewritePiece } from "../disk/rewrite.ts";
import type { StoredFile } from "../disk/storage.ts";

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

/** Writes what an earlier process wrote again (rewrite.ts). Throws `disk_full`, `store_failed`. */
export function rewriteEarlier(segment: Segment): void {
  let at = 0;
  while (at < segment.earlier) at = rewritePiece(segment.file, at, segment.earlier);
  segment.earlier = 0;
}
