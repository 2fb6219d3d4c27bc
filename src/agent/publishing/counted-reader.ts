/** An epoch's data, and how much of it was read: what was cut early and lay in the bucket is not. */
import type { Ino } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import type { EarlyCuts } from "../../content/early-cuts.ts";
import type { Throughput } from "./throughput.ts";

/** Two packs: one is being stored while the next one fills, and what was before them is garbage. */
const MUCH_BYTES = 2 * PACK_TARGET_BYTES;

export class CountedReader implements DataReader {
  readonly #inner: DataReader;
  readonly #readMuch: () => void;
  readonly #throughput: Throughput;
  #bytes = 0;
  /** Since much was read the last time. The first pack comes on top of what was garbage before. */
  #since = MUCH_BYTES - PACK_TARGET_BYTES;

  /** `readMuch` is called each time that MUCH_BYTES more were asked for. */
  constructor(inner: DataReader, throughput: Throughput, readMuch: () => void) {
    this.#inner = inner;
    this.#throughput = throughput;
    this.#readMuch = readMuch;
  }

  /** Bytes that were asked for so far. */
  get bytes(): number {
    return this.#bytes;
  }

  readData(ino: Ino, epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Uint8Array> {
    this.#bytes += length;
    this.#throughput.note(length);
    this.#since += length;
    if (this.#since >= MUCH_BYTES) {
      this.#since = 0;
      this.#readMuch();
    }
    return this.#inner.readData(ino, epoch, offset, length, target);
  }

  async earlyCuts(ino: Ino, epoch: number): Promise<EarlyCuts | undefined> {
    const cuts = await this.#inner.earlyCuts?.(ino, epoch);
    this.#throughput.skip(cuts?.end ?? 0);
    return cuts;
  }
}
