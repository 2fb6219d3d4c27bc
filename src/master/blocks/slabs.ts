/**
 * Memory for blocks that come in or go out: pieces of one size that are used again. To allocate it anew for every block makes the
 * garbage collector and the system's clearing of pages the most expensive part of a transfer (docs/decisions/0032-reuse-transfer-memory.md).
 */
export class Slabs {
  readonly #size: number;
  readonly #kept: number;
  readonly #free: Buffer[] = [];

  /** Of `size` bytes each. Up to `bytes` of them are kept, as much as is ever in use: what is dropped stays garbage for long. */
  constructor(size: number, bytes: number) {
    this.#size = size;
    this.#kept = Math.floor(bytes / size);
  }

  /** Memory with anything in it. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size);
  }

  /** Only when nothing reads it any more, or writes to it. Other memory is left to the garbage collector. */
  give(slab: Buffer): void {
    if (slab.length === this.#size && this.#free.length < this.#kept) this.#free.push(slab);
  }
}
