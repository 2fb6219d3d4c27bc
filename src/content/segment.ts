/** A changed file as runs of bytes, each with its current location. */
import type { Stretch } from "./chunker.ts";

/** A run of a file's bytes. Base content and data files hold it at the file's own offset (data files are sparse). */
export interface ContentSegment {
  readonly offset: number;
  readonly length: number;
  /** Bytes beyond the base's size are zeros. */
  readonly from: "base" | "hole" | "data";
  /** The epoch whose data file `<ino>.<epoch>` holds the bytes; 0 unless from "data". */
  readonly epoch: number;
}

/**
 * Reads exactly `length` bytes at `offset` of the file from the data file of `epoch`, or throws. May use `target`, which
 * has room, so that a large file does not leave as much garbage as it has bytes. If at least `length`
 * zeros follow, it may return how many instead.
 */
export type ReadData = (epoch: number, offset: number, length: number, target?: Uint8Array) => Promise<Stretch>;
