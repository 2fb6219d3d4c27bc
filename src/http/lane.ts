/**
 * One connection's requests: a few are worked on at a time. Clients may send some without waiting for answers (RFC 9112, 9.3.2): what comes
 * behind them is not read until they are answered. A connection on which very many wait is cut, since all of one read are parsed at once.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Budget } from "../base/budget.ts";
import { MAX_CONNECTION_CALLS, MAX_WAITING_CALLS } from "../base/limits.ts";

export class Lane {
  readonly #socket: Socket;
  readonly #whenClosed = new Set<() => void>();
  #closed = false;
  readonly #open = new Set<ServerResponse>();
  readonly #slots: Budget;
  readonly #overrun: () => void;

  /** `most` requests are worked on at once. `overrun` is told when the connection is cut, since too many wait. */
  constructor(socket: Socket, overrun: () => void, most = MAX_CONNECTION_CALLS) {
    this.#socket = socket;
    this.#overrun = overrun;
    this.#slots = new Budget(most);
    socket.once("close", () => {
      this.#closed = true;
      for (const act of this.#whenClosed) act();
    });
  }

  /** Whether all its requests are answered, to the last byte. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** Whether something that is no answer to a request may be written: no answer has begun, and at most one request waits. */
  get maySpeak(): boolean {
    return this.#open.size <= 1 && ![...this.#open].some(({ headersSent }) => headersSent);
  }

  /** Has `act` called when the connection closes: node:http tells only the answer whose turn it is. The answered function takes it back. */
  onClose(act: () => void): () => void {
    if (this.#closed) act();
    else this.#whenClosed.add(act);
    return () => void this.#whenClosed.delete(act);
  }

  /** Does `work` when it is its turn; `response` counts as open until it is closed. */
  async run(response: ServerResponse, work: () => Promise<void>): Promise<void> {
    // The rest of what was parsed at once.
    if (this.#socket.destroyed) return;
    this.#open.add(response);
    response.once("close", () => this.#open.delete(response));
    if (this.#open.size > MAX_WAITING_CALLS) {
      this.#overrun();
      this.#socket.destroy();
      return;
    }
    if (!this.#slots.tryTake(1)) {
      this.#socket.pause();
      await this.#slots.take(1);
    }
    try {
      // Of a thousand requests that were sent at once nobody waits for the rest when the connection is gone.
      if (!this.#closed) await work();
    } finally {
      this.#slots.give(1);
      if (this.#slots.waiting === 0) this.#socket.resume();
    }
  }
}
