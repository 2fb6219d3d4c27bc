/**
 * Writes bytes again that a failed sync may have left in the system's memory only, as if they were written: no later sync
 * would write them.
 */
import type { StoredFile } from "./storage.ts";

const PIECE_BYTES = 1024 * 1024;

/** Writes up to 1 MiB of the file's bytes in [from, to) again; returns where to go on. No write may come between. */
export function rewritePiece(file: StoredFile, from: number, to: number): number {
  const bytes = new Uint8Array(Math.min(PIECE_BYTES, to - from));
  const count = file.read(from, bytes);
  file.write(from, bytes.subarray(0, count));
  return count === 0 ? to : from + count;
}
