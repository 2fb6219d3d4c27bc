/** Many short byte strings of equal lifetime, in shared memory: separate buffers cost some 200 bytes more each. */

const SHARED_BYTES = 64 * 1024;

export class SmallBytes {
  #shared = new Uint8Array();
  #used = 0;

  /** A copy of the bytes; the bytes themselves if too long to share. */
  keep(bytes: Uint8Array): Uint8Array {
    if (bytes.length * 8 > SHARED_BYTES) return bytes;
    if (this.#used + bytes.length > this.#shared.length) {
      this.#shared = new Uint8Array(SHARED_BYTES);
      this.#used = 0;
    }
    const copy = this.#shared.subarray(this.#used, this.#used + bytes.length);
    copy.set(bytes);
    this.#used += bytes.length;
    return copy;
  }
}
