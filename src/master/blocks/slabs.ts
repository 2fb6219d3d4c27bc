/**
 * Memory for the blocks of uploads: pieces of one size that are used again. To allocate it anew for every block makes the garbage
 * collector the most expensive part of an upload (docs/decisions.md).
 */
import { CAR_BATCH_BYTES } from "../../base/limits.ts";

export class Slabs {
  readonly #free: Uint8Array[] = [];

  /** CAR_BATCH_BYTES of memory with anything in it. */
  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(CAR_BATCH_BYTES);
  }

  /** Only when nothing reads it any more. */
  give(slab: Uint8Array): void {
    if (slab.length === CAR_BATCH_BYTES && this.#free.length < MAX_FREE) this.#free.push(slab);
  }
}

const MAX_FREE = 8;
