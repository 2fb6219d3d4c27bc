/** A changed file as runs of bytes, each from where it lies now. */

/** A run of a file's bytes. Base content and data files hold it at the file's own offset (data files are sparse). */
export interface ContentSegment {
  readonly offset: number;
  readonly length: number;
  /** Bytes of the base past its size are zeros. */
  readonly from: "base" | "hole" | "data";
  /** The epoch whose data file `<ino>.<epoch>` holds the bytes; 0 unless from "data". */
  readonly epoch: number;
}

/**
 * Reads `length` bytes at `offset` of the file from the data file of `epoch`. All of them, or it throws. They may be put into
 * `target`, which has room for them: so that a large file does not leave as much garbage as it has bytes.
 */
export type ReadData = (epoch: number, offset: number, length: number, target?: Uint8Array) => Promise<Uint8Array>;
