/**
 * Two buffers that a body's pieces are read into by turns: one is filled while the other is on its way. A fresh one for every piece
 * would be a quarter of a GiB of garbage for a file as large, and most of the time would go into collecting it.
 */
import type { Call } from "./call.ts";

export class PieceBuffers {
  readonly #call: Call;
  readonly #free: Uint8Array[];
  #wake: () => void = () => {};

  constructor(call: Call, bytes: number) {
    this.#call = call;
    this.#free = [Buffer.allocUnsafeSlow(bytes), Buffer.allocUnsafeSlow(bytes)];
  }

  /** One that nobody uses, to be given to `send`. Rejects when the client went away. */
  async take(): Promise<Uint8Array> {
    const { signal } = this.#call.access;
    for (;;) {
      signal.throwIfAborted();
      const free = this.#free.pop();
      if (free !== undefined) return free;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", this.#onAbort, { once: true });
      });
      signal.removeEventListener("abort", this.#onAbort);
    }
  }

  /** Sends the first `length` bytes of what `take` gave. It is not to be touched any more. */
  send(buffer: Uint8Array, length: number): void {
    this.#call.response.write(buffer.subarray(0, length), () => {
      this.#free.push(buffer);
      this.#wake();
    });
  }

  readonly #onAbort = (): void => this.#wake();
}
