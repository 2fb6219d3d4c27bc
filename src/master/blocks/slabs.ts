/**
 * Reused memory of one size for blocks in transfer. Allocating for every block makes garbage collection and page clearing
 * the most expensive part of a transfer.
 */
export class Slabs {
  readonly #size: number;
  readonly #kept: number;
  readonly #free: Buffer[] = [];

  /** Slabs of `size` bytes; keeps up to `bytes` of them, the most ever in use: dropped ones stay garbage for long. */
  constructor(size: number, bytes: number) {
    this.#size = size;
    this.#kept = Math.floor(bytes / size);
  }

  /** Uninitialized memory. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size);
  }

  /** Only once nothing reads or writes it any more. Memory of another size is left to the garbage collector. */
  give(slab: Buffer): void {
    if (slab.length === this.#size && this.#free.length < this.#kept) this.#free.push(slab);
  }
}
