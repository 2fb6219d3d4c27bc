/**
 * Two buffers that a body's pieces are read into by turns: one is filled while the other is on its way. A fresh one for every piece
 * would be a quarter of a GiB of garbage for a file as large, and most of the time would go into collecting it.
 */
import type { Call } from "./call.ts";

export class PieceBuffers {
  readonly #call: Call;
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];
  #made = 0;
  #wake: () => void = () => {};

  /** `bytes`: how many each of them has room for. */
  constructor(call: Call, bytes: number) {
    this.#call = call;
    this.#bytes = bytes;
  }

  /** One that nobody uses, to be given to `send`. Rejects when the client went away. */
  async take(): Promise<Uint8Array> {
    const { signal } = this.#call.access;
    for (;;) {
      signal.throwIfAborted();
      const free = this.#free.pop();
      if (free !== undefined) return free;
      // A small file needs no second one.
      if (this.#made++ < MOST) return Buffer.allocUnsafeSlow(this.#bytes);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", this.#onAbort, { once: true });
      });
      signal.removeEventListener("abort", this.#onAbort);
    }
  }

  /**
   * Sends the first `length` bytes of what `take` gave. It is not to be touched any more: `take` gives it again when the socket has
   * taken all of it, and not only when there is room for more.
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
