/**
 * Two buffers for the pieces of a body: one is filled while the other is sent. A fresh buffer per piece would produce as
 * much garbage as a file's size, a quarter of a GiB for instance, and collecting it would take most of the time.
 */
import type { Call } from "./call.ts";

export class PieceBuffers {
  readonly #call: Call;
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];
  #made = 0;
  #wake: () => void = () => {};

  /** `bytes`: the size of each buffer. */
  constructor(call: Call, bytes: number) {
    this.#call = call;
    this.#bytes = bytes;
  }

  /** A free buffer, to be passed to `send`. Rejects if the client disconnected. */
  async take(): Promise<Uint8Array> {
    const { signal } = this.#call.access;
    for (;;) {
      signal.throwIfAborted();
      const free = this.#free.pop();
      if (free !== undefined) return free;
      // A small file needs only one.
      if (this.#made++ < MOST) return Buffer.allocUnsafeSlow(this.#bytes);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", this.#onAbort, { once: true });
      });
      signal.removeEventListener("abort", this.#onAbort);
    }
  }

  /**
   * Sends the first `length` bytes of a buffer from `take`. Do not touch it afterwards: `take` returns it again once the
   * socket has taken all of it, and not only when there is room for more.
   */
  send(buffer: Uint8Array, length: number): void {
    this.#call.response.write(buffer.subarray(0, length), () => {
      this.#free.push(buffer);
      this.#wake();
    });
  }

  readonly #onAbort = (): void => this.#wake();
}

const MOST = 2;
