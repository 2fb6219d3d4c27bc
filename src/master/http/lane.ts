/**
 * One connection's requests: a few are worked on at a time. Clients may send many without waiting for answers (RFC 9112, 9.3.2);
 * what is too much is not even read, so it costs no memory.
 */
import type { Socket } from "node:net";
import { Budget } from "../../base/budget.ts";
import { MAX_CONNECTION_CALLS } from "../../base/limits.ts";

export class Lane {
  readonly #socket: Socket;
  readonly #slots = new Budget(MAX_CONNECTION_CALLS);

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Whether any request waits for its answer. */
  get isBusy(): boolean {
    return this.#slots.used > 0;
  }

  async run(work: () => Promise<void>): Promise<void> {
    if (!this.#slots.tryTake(1)) {
      this.#socket.pause();
      await this.#slots.take(1);
    }
    try {
      await work();
    } finally {
      this.#slots.give(1);
      if (this.#slots.waiting === 0) this.#socket.resume();
    }
  }
}
