/**
 * Counts how much of an epoch's data is read, and lets the caller stop the reading. Chunks that were cut early and are in the
 * bucket are not read.
 */
import type { Ino } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import type { Stretch } from "../../content/chunker.ts";
import type { EarlyCuts } from "../../content/early-cuts.ts";
import type { Throughput } from "./throughput.ts";

/** Two packs: one is being stored while the next fills, and earlier ones are garbage. */
const MUCH_BYTES = 2 * PACK_TARGET_BYTES;

interface ReaderCalls {
  /** Called before each read; throws to end the reading. */
  check(): void;
  /** Called after each MUCH_BYTES requested. */
  readMuch(): void;
}

export class CountedReader implements DataReader {
  readonly #inner: DataReader;
  readonly #calls: ReaderCalls;
  readonly #throughput: Throughput;
  #bytes = 0;
  /** Bytes since the last call of `readMuch`. The first pack adds to earlier garbage. */
  #since = MUCH_BYTES - PACK_TARGET_BYTES;

  constructor(inner: DataReader, throughput: Throughput, calls: ReaderCalls) {
    this.#inner = inner;
    this.#throughput = throughput;
    this.#calls = calls;
  }

  /** Bytes requested so far. */
  get bytes(): number {
    return this.#bytes;
  }

  readData(ino: Ino, epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Stretch> {
    this.#calls.check();
    this.#bytes += length;
    this.#throughput.note(length);
    this.#since += length;
    if (this.#since >= MUCH_BYTES) {
      this.#since = 0;
      this.#calls.readMuch();
    }
    return this.#inner.readData(ino, epoch, offset, length, target);
  }

  async earlyCuts(ino: Ino, epoch: number): Promise<EarlyCuts | undefined> {
    const cuts = await this.#inner.earlyCuts?.(ino, epoch);
    this.#throughput.skip(cuts?.end ?? 0);
    return cuts;
  }
}
