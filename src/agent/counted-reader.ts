/** An epoch's data, and how much of it was read: what was cut early and lay in the bucket is not. */
import type { Ino } from "../base/ids.ts";
import type { DataReader } from "../bucket/change-set.ts";
import type { EarlyCuts } from "../content/early-cuts.ts";

export class CountedReader implements DataReader {
  readonly #inner: DataReader;
  #bytes = 0;

  constructor(inner: DataReader) {
    this.#inner = inner;
  }

  /** Bytes that were asked for so far. */
  get bytes(): number {
    return this.#bytes;
  }

  readData(ino: Ino, epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Uint8Array> {
    this.#bytes += length;
    return this.#inner.readData(ino, epoch, offset, length, target);
  }

  async earlyCuts(ino: Ino, epoch: number): Promise<EarlyCuts | undefined> {
    return this.#inner.earlyCuts?.(ino, epoch);
  }
}
