/**
 * One connection's requests: a few are processed at a time. Clients may send more without waiting for answers (RFC 9112,
 * 9.3.2): the rest is not read until these are answered. All requests of one read are parsed at once, so a connection with
 * very many waiting requests is cut.
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

  /** At most `most` requests are processed at once. `overrun`: called when the connection is cut, as too many wait. */
  constructor(socket: Socket, overrun: () => void, most = MAX_CONNECTION_CALLS) {
    this.#socket = socket;
    this.#overrun = overrun;
    this.#slots = new Budget(most);
    socket.once("close", () => {
      this.#closed = true;
      for (const act of this.#whenClosed) act();
    });
  }

  /** Whether all its requests are answered completely. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** Whether something other than an answer may be sent: no answer has begun, and at most one request waits. */
  get maySpeak(): boolean {
    return this.#open.size <= 1 && ![...this.#open].some(({ headersSent }) => headersSent);
  }

  /** Calls `act` when the connection closes: node:http tells only the current answer. The returned function cancels it. */
  onClose(act: () => void): () => void {
    if (this.#closed) act();
    else this.#whenClosed.add(act);
    return () => void this.#whenClosed.delete(act);
  }

  /** Runs `work` in its turn; `response` counts as open until it is closed. */
  async run(response: ServerResponse, work: () => Promise<void>): Promise<void> {
    // Requests of the same read still arrive after the cut.
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
      // Once the connection is gone, the rest of its requests are dropped.
      if (!this.#closed) await work();
    } finally {
      this.#slots.give(1);
      if (this.#slots.waiting === 0) this.#socket.resume();
    }
  }
}
